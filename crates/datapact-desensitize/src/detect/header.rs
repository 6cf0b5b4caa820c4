//! What the name of a column says, in several languages.

use super::context::contains;
use super::fold::plain;
use super::{Entity, NationalId, date, phone, place};

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

/// A header in small letters without accents, its words apart: `customerFirst_Name2` is `customer
/// first name2`.
pub(super) fn words(header: &str) -> String {
    let mut out = String::with_capacity(header.len() + 8);
    let mut before = ' ';
    for character in header.chars() {
        if character.is_uppercase() && before.is_lowercase() {
            out.push(' ');
        }
        out.push(if character.is_alphanumeric() || matches!(character, '.' | '\'') {
            character
        } else {
            ' '
        });
        before = character;
    }
    plain(&out).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a header announces, the most definite first.
pub(super) fn announced(header: &str) -> Vec<Announced> {
    let header = words(header);
    let has = |list: &[&str]| list.iter().any(|word| says(&header, word));
    let other = has(NOT_PERSON);
    let mut out = Vec::new();
    if has(EMAIL) {
        out.push(Announced::Entity(Entity::Email));
    }
    for kind in NationalId::all().filter(|kind| has(kind.words())) {
        out.push(Announced::Kind(kind));
    }
    for (entity, list) in LISTS {
        if has(list) {
            out.push(Announced::Entity(*entity));
        }
    }
    if has(PHONE)
        || (has(phone::WORDS) && !has(&["contact", "reach", "ring", "call", "ara", "cep"]))
    {
        out.push(Announced::Entity(Entity::Phone));
    }
    if has(date::BIRTH)
        && !has(&["place", "ort", "lieu", "lugar", "luogo", "city", "country", "name"])
    {
        out.push(Announced::Entity(Entity::BirthDate));
    }
    if has(place::POSTCODE) {
        out.push(Announced::Entity(Entity::PostalCode));
    }
    if has(&[
        "lat",
        "latitude",
        "lon",
        "lng",
        "long",
        "longitude",
        "breitengrad",
        "laengengrad",
        "langengrad",
        "latitud",
        "longitud",
        "latitudine",
        "longitudine",
    ]) {
        out.push(Announced::Degrees);
    }
    let nobody = has(&["user name", "username", "host name", "hostname", "domain", "birth"]);
    if has(NAME) && !other && !nobody && !has(&["email", "e mail"]) {
        out.push(Announced::Entity(Entity::PersonName));
    } else if has(&[
        "name", "nom", "nombre", "nome", "naam", "navn", "namn", "nimi", "nev", "nume", "имя",
        "名", "名称", "ad", "isim",
    ]) && !other
    {
        out.push(Announced::SomeName);
    }
    if has(&[
        "username",
        "user name",
        "login",
        "nick",
        "nickname",
        "handle",
        "benutzername",
        "identifiant",
        "usuario",
        "utente",
        "логин",
        "用户名",
    ]) {
        out.push(Announced::RecordId);
    }
    let number = has(&[
        "id",
        "no",
        "nr",
        "number",
        "num",
        "nummer",
        "code",
        "key",
        "numero",
        "numer",
        "uuid",
        "guid",
        "номер",
        "编号",
        "番号",
    ]);
    if number && has(PERSON) {
        out.push(Announced::RecordId);
    }
    out
}

/// Whether a header says a word: as [`contains`], and a long word also within a compound
/// (`kundentelefon`).
fn says(header: &str, word: &str) -> bool {
    contains(header, word) || (word.len() >= 6 && !word.contains(' ') && header.contains(word))
}

const EMAIL: &[&str] = &[
    "email",
    "e mail",
    "mail",
    "courriel",
    "correo",
    "epost",
    "e post",
    "sahkoposti",
    "posta elettronica",
    "e posta",
    "eposta",
    "электронная почта",
    "почта",
    "имейл",
    "邮箱",
    "电子邮件",
    "メール",
    "이메일",
    "ईमेल",
    "בריד",
    "بريد",
];

const PHONE: &[&str] = &[
    "phone number",
    "phone",
    "phone no",
    "tel no",
    "contact number",
    "contact no",
    "call number",
    "numero de telephone",
    "cep telefonu",
    "mobile number",
];

const LISTS: &[(Entity, &[&str])] = &[
    (
        Entity::PaymentCard,
        &[
            "credit card",
            "card number",
            "card no",
            "cardnumber",
            "creditcard",
            "cc number",
            "ccnum",
            "cc num",
            "pan",
            "kreditkarte",
            "kartennummer",
            "carte bancaire",
            "numero de carte",
            "tarjeta",
            "carta di credito",
            "cartao",
            "creditkaart",
            "kortnummer",
            "luottokortti",
            "karta kredytowa",
            "numer karty",
            "kredi karti",
            "номер карты",
            "карта",
            "信用卡",
            "卡号",
            "カード番号",
            "카드",
        ],
    ),
    (
        Entity::Iban,
        &[
            "iban",
            "bank account",
            "account number",
            "account no",
            "kontonummer",
            "bankverbindung",
            "numero de compte",
            "cuenta bancaria",
            "rekeningnummer",
            "numer konta",
            "tilinumero",
            "conto corrente",
        ],
    ),
    (
        Entity::CryptoAddress,
        &["bitcoin", "btc address", "wallet", "crypto address", "eth address", "ethereum"],
    ),
    (
        Entity::NationalId,
        &[
            "ssn",
            "social security",
            "national id",
            "nationalid",
            "national identi",
            "tax id",
            "taxid",
            "tin",
            "identity number",
            "identification number",
            "personal id",
            "personal number",
            "citizen id",
            "id number",
            "sozialversicherung",
            "steuernummer",
            "ausweisnummer",
            "personalausweis",
            "securite sociale",
            "numero de secu",
            "documento de identidad",
            "cedula",
            "identificacion",
            "carta d'identita",
            "personnummer",
            "henkilotunnus",
            "numer dowodu",
            "身份证",
            "証番号",
            "주민",
            "kimlik",
        ],
    ),
    (
        Entity::IdentityDocument,
        &[
            "passport",
            "reisepass",
            "passnummer",
            "passeport",
            "pasaporte",
            "passaporto",
            "passaporte",
            "paspoort",
            "passnumret",
            "passi",
            "paszport",
            "pasaport",
            "паспорт",
            "护照",
            "パスポート",
            "여권",
            "driver license",
            "drivers license",
            "driver's license",
            "driving licence",
            "driving license",
            "fuhrerschein",
            "fuehrerschein",
            "permis de conduire",
            "licencia de conducir",
            "patente",
            "rijbewijs",
            "korkort",
            "ajokortti",
            "prawo jazdy",
            "驾驶证",
            "license plate",
            "licence plate",
            "number plate",
            "kennzeichen",
            "immatriculation",
            "matricula",
            "targa",
            "kenteken",
        ],
    ),
    (
        Entity::Ip,
        &[
            "ip",
            "ip address",
            "ipaddress",
            "ip addr",
            "ipv4",
            "ipv6",
            "client ip",
            "remote addr",
            "ip adresse",
            "adresse ip",
            "direccion ip",
            "indirizzo ip",
        ],
    ),
    (
        Entity::Mac,
        &["mac", "mac address", "macaddress", "hwaddr", "bssid", "mac adresse", "adresse mac"],
    ),
    (
        Entity::Url,
        &[
            "url",
            "website",
            "web site",
            "homepage",
            "web page",
            "link",
            "webseite",
            "site web",
            "sitio web",
            "sito web",
            "сайт",
            "网址",
        ],
    ),
    (
        Entity::Coordinates,
        &[
            "coordinates",
            "coordinate",
            "geolocation",
            "geo location",
            "lat lon",
            "lat lng",
            "latlng",
            "latlon",
            "gps",
            "koordinaten",
            "coordonnees",
            "coordenadas",
            "coordinate",
            "location point",
            "坐标",
        ],
    ),
    (
        Entity::Address,
        &[
            "address",
            "street",
            "addr",
            "address line",
            "adresse",
            "anschrift",
            "strasse",
            "wohnort",
            "rue",
            "voie",
            "direccion",
            "domicilio",
            "calle",
            "indirizzo",
            "endereco",
            "morada",
            "rua",
            "logradouro",
            "adres",
            "straat",
            "gatuadress",
            "gateadresse",
            "vej",
            "osoite",
            "katuosoite",
            "ulica",
            "cim",
            "lakcim",
            "adresa",
            "улица",
            "адрес",
            "адреса",
            "διευθυνση",
            "地址",
            "住所",
            "주소",
            "पता",
            "عنوان",
            "כתובת",
            "ที่อยู่",
            "house number",
            "hausnummer",
        ],
    ),
];

/// Headers of names of people.
const NAME: &[&str] = &[
    "first name",
    "firstname",
    "fname",
    "given name",
    "givenname",
    "forename",
    "last name",
    "lastname",
    "lname",
    "surname",
    "family name",
    "familyname",
    "middle name",
    "middlename",
    "maiden name",
    "full name",
    "fullname",
    "person name",
    "customer name",
    "client name",
    "patient name",
    "employee name",
    "contact name",
    "contact person",
    "cardholder",
    "card holder",
    "account holder",
    "name of customer",
    "passenger",
    "student name",
    "author name",
    "patient",
    "vorname",
    "nachname",
    "familienname",
    "zuname",
    "geburtsname",
    "ansprechpartner",
    "kundenname",
    "inhaber",
    "prenom",
    "nom de famille",
    "nom complet",
    "nom client",
    "apellido",
    "apellidos",
    "nombre completo",
    "nombre y apellidos",
    "cognome",
    "nome completo",
    "nominativo",
    "sobrenome",
    "apelido",
    "primeiro nome",
    "voornaam",
    "achternaam",
    "familienaam",
    "fornavn",
    "efternavn",
    "etternavn",
    "fornamn",
    "efternamn",
    "etunimi",
    "sukunimi",
    "imie",
    "nazwisko",
    "jmeno",
    "prijmeni",
    "krstne meno",
    "priezvisko",
    "keresztnev",
    "vezeteknev",
    "teljes nev",
    "prenume",
    "ime",
    "prezime",
    "soyad",
    "soyisim",
    "soyadi",
    "adi soyadi",
    "фамилия",
    "отчество",
    "фио",
    "имя",
    "прізвище",
    "ім'я",
    "επωνυμο",
    "ονομα",
    "姓名",
    "名字",
    "姓",
    "氏名",
    "名前",
    "お名前",
    "フリガナ",
    "이름",
    "성명",
    "नाम",
    "اسم",
    "שם",
    "ชื่อ",
    "นามสกุล",
];

/// Words of names that are nobody's.
const NOT_PERSON: &[&str] = &[
    "product",
    "company",
    "file",
    "brand",
    "city",
    "country",
    "state",
    "region",
    "item",
    "category",
    "event",
    "project",
    "table",
    "column",
    "field",
    "species",
    "station",
    "street",
    "bank",
    "shop",
    "store",
    "department",
    "team",
    "organisation",
    "organization",
    "business",
    "employer",
    "school",
    "university",
    "hospital",
    "class",
    "type",
    "app",
    "application",
    "device",
    "model",
    "server",
    "host",
    "service",
    "firma",
    "produkt",
    "datei",
    "stadt",
    "land",
    "marke",
    "artikel",
    "produit",
    "entreprise",
    "societe",
    "ville",
    "pays",
    "fichier",
    "marque",
    "producto",
    "empresa",
    "ciudad",
    "pais",
    "archivo",
    "marca",
    "prodotto",
    "azienda",
    "citta",
    "paese",
    "produto",
    "cidade",
    "bedrijf",
    "stad",
    "yritys",
    "tuote",
    "foretag",
    "miasto",
    "produkcja",
    "公司",
    "产品",
    "会社",
    "商品",
    "회사",
];

/// Words of people of whom organisations keep records.
const PERSON: &[&str] = &[
    "user",
    "customer",
    "client",
    "patient",
    "member",
    "employee",
    "person",
    "staff",
    "student",
    "account",
    "subscriber",
    "passenger",
    "guest",
    "donor",
    "applicant",
    "policy holder",
    "insured",
    "taxpayer",
    "personnel",
    "resident",
    "citizen",
    "driver",
    "player",
    "kunde",
    "kunden",
    "mitglied",
    "mitarbeiter",
    "versicherten",
    "benutzer",
    "nutzer",
    "adherent",
    "salarie",
    "usuario",
    "cliente",
    "empleado",
    "paciente",
    "paziente",
    "dipendente",
    "klant",
    "lid",
    "medlem",
    "asiakas",
    "klient",
    "pracownik",
    "клиент",
    "客户",
    "用户",
    "会员",
    "顧客",
    "고객",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn first(header: &str) -> Option<Announced> {
        announced(header).first().copied()
    }

    #[test]
    fn words_of_headers() {
        assert_eq!(words("customerFirst_Name"), "customer first name");
        assert_eq!(words("Téléphone (privé)"), "telephone prive");
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
