//! What the name of a column says, in several languages.

use std::sync::LazyLock;

use crate::detect::NationalId;
use crate::detect::context::contains;
use crate::detect::fold::plain;
use crate::detect::words::{self, Words};
use crate::entity::Entity;

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// This entity.
    Entity(Entity),
    /// This national identifier.
    Kind(NationalId),
    /// Perhaps the name of a person, perhaps of something else.
    SomeName,
    /// The number by which an organisation knows a person.
    RecordId,
    /// A degree of latitude or longitude.
    Degrees,
}

impl Announced {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Entity(entity) => entity.name(),
            Self::Kind(kind) => kind.code(),
            Self::SomeName => "some-name",
            Self::RecordId => "record-id",
            Self::Degrees => "degrees",
        }
    }

    /// The entity that values are if the header is right; none if it leaves that open.
    pub(super) fn entity(self) -> Option<Entity> {
        match self {
            Self::Entity(entity) => Some(entity),
            Self::Kind(_) => Some(Entity::NationalId),
            Self::Degrees => Some(Entity::Coordinates),
            Self::SomeName | Self::RecordId => None,
        }
    }

    /// Whether values of this entity and kind are what the header announces.
    pub(super) fn agrees(self, entity: Entity, kind: Option<NationalId>) -> bool {
        match self {
            Self::Entity(Entity::BirthDate) => matches!(entity, Entity::BirthDate | Entity::Date),
            Self::Entity(announced) => announced == entity,
            Self::Kind(announced) => kind == Some(announced),
            _ => false,
        }
    }
}

/// The entities of which only a list of words speaks, and the lists.
static LISTS: LazyLock<Vec<(Entity, Vec<&'static str>)>> = LazyLock::new(|| {
    let entities = [
        Entity::PaymentCard,
        Entity::Iban,
        Entity::CryptoAddress,
        Entity::NationalId,
        Entity::IdentityDocument,
        Entity::Ip,
        Entity::Mac,
        Entity::Url,
        Entity::Coordinates,
        Entity::Address,
    ];
    entities.map(|entity| (entity, words::list(&format!("header {}", entity.name())))).into()
});
static EMAIL: Words = LazyLock::new(|| words::list("header email"));
static PHONE: Words = LazyLock::new(|| words::list("header phone"));
static DEGREES: Words = LazyLock::new(|| words::list("header degrees"));
static PERSON_NAME: Words = LazyLock::new(|| words::list("header person-name"));
static SOME_NAME: Words = LazyLock::new(|| words::list("header some-name"));
static NOT_PERSON: Words = LazyLock::new(|| words::list("header not-person"));
static LOGIN: Words = LazyLock::new(|| words::list("header login"));
static NUMBER: Words = LazyLock::new(|| words::list("header number"));
static PERSON: Words = LazyLock::new(|| words::list("header person"));

/// What a header announces, the most definite first.
pub(super) fn announced(header: &str) -> Vec<Announced> {
    let header = words_of(header);
    let has = |list: &[&str]| list.iter().any(|word| says(&header, word));
    let mut out = Vec::new();
    if has(&EMAIL) {
        out.push(Announced::Entity(Entity::Email));
    }
    out.extend(NationalId::all().filter(|kind| has(kind.words())).map(Announced::Kind));
    let listed = LISTS.iter().filter(|(_, list)| has(list));
    out.extend(listed.map(|(entity, _)| Announced::Entity(*entity)));
    // Some words that announce a number in a sentence mean something else in a header.
    let ambiguous = || has(&["contact", "reach", "ring", "call", "ara", "cep"]);
    if has(&PHONE) || (has(&words::PHONE) && !ambiguous()) {
        out.push(Announced::Entity(Entity::Phone));
    }
    let birth_place =
        || has(&["place", "ort", "lieu", "lugar", "luogo", "city", "country", "name"]);
    if has(&words::BIRTH) && !birth_place() {
        out.push(Announced::Entity(Entity::BirthDate));
    }
    if has(&words::POSTCODE) {
        out.push(Announced::Entity(Entity::PostalCode));
    }
    if has(&DEGREES) {
        out.push(Announced::Degrees);
    }
    if !has(&NOT_PERSON) {
        let technical = || {
            has(&["user name", "username", "host name", "hostname", "domain", "birth"])
                || has(&["email", "e mail"])
        };
        if has(&PERSON_NAME) && !technical() {
            out.push(Announced::Entity(Entity::PersonName));
        } else if has(&SOME_NAME) {
            out.push(Announced::SomeName);
        }
    }
    if has(&LOGIN) || (has(&NUMBER) && has(&PERSON)) {
        out.push(Announced::RecordId);
    }
    out
}

/// A header in small letters without accents, its words apart: `customerFirst_Name2` is `customer
/// first name2`.
fn words_of(header: &str) -> String {
    let mut out = String::with_capacity(header.len() + 8);
    let mut before = ' ';
    for character in header.chars() {
        if character.is_uppercase() && before.is_lowercase() {
            out.push(' ');
        }
        let stays = character.is_alphanumeric() || matches!(character, '.' | '\'');
        out.push(if stays { character } else { ' ' });
        before = character;
    }
    plain(&out).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a header says a word: as [`contains`], and a long word also within a compound
/// (`kundentelefon`).
fn says(header: &str, word: &str) -> bool {
    contains(header, word) || (word.len() >= 6 && !word.contains(' ') && header.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(header: &str) -> Option<Announced> {
        announced(header).first().copied()
    }

    #[test]
    fn words_of_headers() {
        assert_eq!(words_of("customerFirst_Name"), "customer first name");
        assert_eq!(words_of("Téléphone (privé)"), "telephone prive");
    }

    #[test]
    fn headers_in_several_languages() {
        for (header, entity) in [
            ("E-Mail", Entity::Email),
            ("email_address", Entity::Email),
            ("Correo electrónico", Entity::Email),
            ("邮箱", Entity::Email),
            ("Telefonnummer", Entity::Phone),
            ("phoneNumber", Entity::Phone),
            ("Téléphone portable", Entity::Phone),
            ("電話番号", Entity::Phone),
            ("MOBILE", Entity::Phone),
            ("kundentelefon", Entity::Phone),
            ("credit_card_number", Entity::PaymentCard),
            ("IBAN", Entity::Iban),
            ("ip_address", Entity::Ip),
            ("MAC-Adresse", Entity::Mac),
            ("Geburtsdatum", Entity::BirthDate),
            ("date_of_birth", Entity::BirthDate),
            ("DOB", Entity::BirthDate),
            ("Дата рождения", Entity::BirthDate),
            ("PLZ", Entity::PostalCode),
            ("zip", Entity::PostalCode),
            ("code_postal", Entity::PostalCode),
            ("Straße", Entity::Address),
            ("home address", Entity::Address),
            ("住所", Entity::Address),
            ("first_name", Entity::PersonName),
            ("Nachname", Entity::PersonName),
            ("Prénom", Entity::PersonName),
            ("姓名", Entity::PersonName),
            ("apellidos", Entity::PersonName),
            ("Фамилия", Entity::PersonName),
            ("passport_no", Entity::IdentityDocument),
            ("website", Entity::Url),
        ] {
            assert_eq!(
                first(header),
                Some(Announced::Entity(entity)),
                "{header}: {:?}",
                announced(header)
            );
        }
        assert_eq!(first("customer_id"), Some(Announced::RecordId));
        assert_eq!(first("latitude"), Some(Announced::Degrees));
        assert_eq!(first("name"), Some(Announced::SomeName));
        assert!(matches!(first("BSN"), Some(Announced::Kind(kind)) if kind.code() == "nl-bsn"));
    }

    #[test]
    fn headers_of_other_things() {
        for header in [
            "product_name",
            "quantity",
            "price",
            "order_date",
            "company",
            "country",
            "description",
            "relation",
            "total",
            "hotel",
            "shipped",
            "capacity",
            "discipline",
            "amount",
        ] {
            assert_eq!(announced(header), [], "{header}");
        }
    }
}
