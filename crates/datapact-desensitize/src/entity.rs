//! The kinds of personal data that detection knows.

/// What detection can find. Its name is in rule files (`found`, `entities`) and in what `scrub`
/// writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// The number of a payment card.
    PaymentCard,
    /// An International Bank Account Number.
    Iban,
    /// The address of an account in a crypto-currency.
    CryptoAddress,
    /// A number or code by which a state knows a person.
    NationalId,
    /// An IP address, or a network.
    Ip,
    /// A MAC address.
    Mac,
    /// A URL.
    Url,
    /// A place by latitude and longitude.
    Coordinates,
    /// A date of birth.
    BirthDate,
    /// A postal address, or its street.
    Address,
    /// A postcode.
    PostalCode,
    /// Any other date.
    Date,
    /// The name of a person. Found in columns by their headers, and in free text only from a
    /// dictionary.
    PersonName,
    /// The number of a passport, a driving licence or the like. Only columns are found, by their
    /// headers.
    IdentityDocument,
}

impl Entity {
    /// All entities that [`find`](crate::detect::find) looks for; dates come last.
    pub const ALL: [Self; 14] = [
        Self::Email,
        Self::Phone,
        Self::PaymentCard,
        Self::Iban,
        Self::CryptoAddress,
        Self::NationalId,
        Self::Ip,
        Self::Mac,
        Self::Url,
        Self::Coordinates,
        Self::BirthDate,
        Self::Address,
        Self::PostalCode,
        Self::Date,
    ];

    /// Those of them that say something about a person by themselves: all but dates.
    pub const PERSONAL: &'static [Self] = match Self::ALL.split_last() {
        Some((_date, personal)) => personal,
        None => &[],
    };

    /// Its name, lower case with hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::PaymentCard => "payment-card",
            Self::Iban => "iban",
            Self::CryptoAddress => "crypto-address",
            Self::NationalId => "national-id",
            Self::Ip => "ip-address",
            Self::Mac => "mac-address",
            Self::Url => "url",
            Self::Coordinates => "coordinates",
            Self::BirthDate => "birth-date",
            Self::Address => "address",
            Self::PostalCode => "postal-code",
            Self::Date => "date",
            Self::PersonName => "person-name",
            Self::IdentityDocument => "identity-document",
        }
    }

    /// The entity that [`find`](crate::detect::find) looks for under this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.name() == name)
    }
}
