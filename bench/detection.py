#!/usr/bin/env python3
"""Compares detection with Presidio's pattern recognizers on labelled data that Faker makes, in one run.

    detection.py DETECT [SENTENCES] [SEED] [--misses] [--labelled=FILE]

DETECT is the example program `detect` of datapact-desensitize. Sentences are made in the languages of LOCALES, with
words that announce what follows in two of three, and bare in the others; a third of all sentences have nothing
personal but numbers of other kinds. Values are Faker's, and their separators, letter case and digits are varied at
random: what people write is less regular than what generators do.

FILE has other labelled sentences, which are used instead, in the form of github.com/microsoft/presidio-research (such as
its data/synth_dataset_v2.json). --misses writes what was missed or too much to standard error.

Presidio runs without a language model, which it needs for names only: each pattern recognizer for itself, with its
context words. Of its results those above the score are counted that gives the best F1 of each entity afterwards;
Datapact's confidence bound is the one it ships with.
"""

import collections
import csv
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from faker import Faker

LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR", "sv_SE", "no_NO", "fi_FI",
           "da_DK", "en_IN", "zh_CN", "ja_JP", "ko_KR", "tr_TR", "ru_RU", "cs_CZ"]
# Words that announce, by language: e-mail, phone, card, account, identifier; then sentences around a value.
WORDS = {
    "en": ("email", "phone", "card", "IBAN", "{}", ["Please note: {}.", "You can use {} from now on.", "He wrote {} on the form, I think", "see {} (old record)"]),
    "de": ("E-Mail", "Telefon", "Karte", "IBAN", "{}", ["Bitte notieren: {}.", "Ab sofort gilt {} für alle.", "er schrieb {} in das Formular"]),
    "fr": ("courriel", "téléphone", "carte", "IBAN", "{}", ["Merci de noter : {}.", "Désormais {} est valable", "il a écrit {} sur le formulaire"]),
    "es": ("correo", "teléfono", "tarjeta", "IBAN", "{}", ["Por favor anote: {}.", "Desde ahora vale {} para todos", "escribió {} en el formulario"]),
    "it": ("email", "telefono", "carta", "IBAN", "{}", ["Si prega di annotare: {}.", "Da ora vale {} per tutti", "ha scritto {} nel modulo"]),
    "nl": ("e-mail", "telefoon", "kaart", "IBAN", "{}", ["Noteer alstublieft: {}.", "Vanaf nu geldt {} voor iedereen", "hij schreef {} op het formulier"]),
    "pl": ("e-mail", "telefon", "karta", "IBAN", "{}", ["Proszę zanotować: {}.", "Od teraz obowiązuje {} dla wszystkich", "napisał {} w formularzu"]),
    "pt": ("e-mail", "telefone", "cartão", "IBAN", "{}", ["Por favor anote: {}.", "A partir de agora vale {} para todos", "ele escreveu {} no formulário"]),
    "sv": ("e-post", "telefon", "kort", "IBAN", "{}", ["Notera: {}.", "Från och med nu gäller {} för alla", "han skrev {} i formuläret"]),
    "no": ("e-post", "telefon", "kort", "IBAN", "{}", ["Noter: {}.", "Fra nå gjelder {} for alle", "han skrev {} i skjemaet"]),
    "fi": ("sähköposti", "puhelin", "kortti", "IBAN", "{}", ["Huomaa: {}.", "Tästä lähtien {} on voimassa", "hän kirjoitti {} lomakkeeseen"]),
    "da": ("e-mail", "telefon", "kort", "IBAN", "{}", ["Noter: {}.", "Fra nu af gælder {} for alle", "han skrev {} i skemaet"]),
    "zh": ("邮箱", "电话", "卡号", "IBAN", "{}", ["请记下：{}。", "从现在起使用{}", "他在表格上写了 {} 谢谢"]),
    "ja": ("メール", "電話", "カード", "IBAN", "{}", ["メモしてください：{}。", "今後は{}を使います", "用紙に {} と書きました"]),
    "ko": ("이메일", "전화", "카드", "IBAN", "{}", ["적어 주세요: {}.", "이제부터 {} 사용", "양식에 {} 라고 썼다"]),
    "tr": ("e-posta", "telefon", "kart", "IBAN", "{}", ["Lütfen not edin: {}.", "Bundan sonra {} geçerli", "forma {} yazdı"]),
    "ru": ("почта", "телефон", "карта", "IBAN", "{}", ["Запишите: {}.", "С этого момента действует {} для всех", "он написал {} в форме"]),
    "cs": ("e-mail", "telefon", "karta", "IBAN", "{}", ["Poznamenejte si: {}.", "Od nynějška platí {} pro všechny", "napsal {} do formuláře"]),
}
# National identifiers that Faker makes by the rules of the country: locale, method, our code, Presidio's entity, words.
IDS = [
    ("en_US", "ssn", "us-ssn", "US_SSN", "SSN"), ("en_US", "itin", "us-itin", "US_ITIN", "ITIN"), ("es_ES", "nie", "es-nie", "ES_NIE", "NIE"),
    ("es_ES", "nif", "es-dni", "ES_NIF", "DNI"), ("it_IT", "ssn", "it-codice-fiscale", "IT_FISCAL_CODE", "codice fiscale"),
    ("pl_PL", "pesel", "pl-pesel", "PL_PESEL", "PESEL"), ("fi_FI", "ssn", "fi-hetu", "FI_PERSONAL_IDENTITY_CODE", "henkilötunnus"),
    ("en_IN", "aadhaar_id", "in-aadhaar", "IN_AADHAAR", "Aadhaar"), ("ko_KR", "ssn", "kr-rrn", "KR_RRN", "주민등록번호"),
    ("sv_SE", "ssn", "se-personnummer", "SE_PERSONNUMMER", "personnummer"), ("de_DE", "rvnr", "de-rvnr", "DE_SOCIAL_SECURITY", "Rentenversicherungsnummer"),
    ("tr_TR", "ssn", "tr-tckn", "TR_NATIONAL_ID", "T.C. kimlik no"), ("en_CA", "ssn", "ca-sin", "CA_SIN", "SIN"),
    ("fr_FR", "ssn", "fr-nir", None, "sécurité sociale"), ("nl_NL", "ssn", "nl-bsn", None, "BSN"), ("no_NO", "ssn", "no-fodselsnummer", None, "fødselsnummer"),
    ("pt_BR", "cpf", "br-cpf", None, "CPF"), ("zh_CN", "ssn", "cn-ric", None, "身份证"), ("cs_CZ", "birth_number", "cz-rc", None, "rodné číslo"),
    ("de_CH", "ssn", "ch-ahv", None, "AHV"), ("ro_RO", "ssn", "ro-cnp", None, "CNP"), ("hr_HR", "ssn", "hr-oib", None, "OIB"),
    ("es_MX", "curp", "mx-curp", None, "CURP"), ("es_CL", "rut", "cl-rut", None, "RUT"),
]
COMMON = {"email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "payment-card": "CREDIT_CARD", "iban": "IBAN_CODE",
          "ip-address": "IP_ADDRESS", "mac-address": "MAC_ADDRESS", "url": "URL", "date": "DATE_TIME"}


class Maker:
    """Labelled values, sentences and tables."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        Faker.seed(seed)
        self.fakers = {locale: Faker(locale) for locale in LOCALES}
        self.others = {locale: Faker(locale) for locale, *_ in IDS if locale not in self.fakers}

    def faker(self, locale):
        return self.fakers.get(locale) or self.others[locale]

    def value(self, locale, entity):
        fake, pick = self.faker(locale), self.random
        if entity == "email":
            value = pick.choice([fake.email, fake.company_email, fake.free_email])()
            return pick.choice([value, value, value.replace("@", "+news@", 1), value.upper(), value.title()])
        if entity == "phone":
            return fake.phone_number()
        if entity == "payment-card":
            value = fake.credit_card_number()
            if len(value) == 16 and pick.random() < 0.6:
                value = pick.choice(" -").join(value[at:at + 4] for at in range(0, 16, 4))
            return value
        if entity == "iban":
            value = fake.iban()
            form = pick.random()
            return " ".join(value[at:at + 4] for at in range(0, len(value), 4)) if form < 0.5 else value.lower() if form < 0.6 else value
        if entity == "ip-address":
            return pick.choice([fake.ipv4, fake.ipv4, fake.ipv6])()
        if entity == "mac-address":
            value = fake.mac_address()
            return pick.choice([value, value.upper(), value.replace(":", "-")])
        if entity == "url":
            return pick.choice([fake.url(), fake.uri(), "www." + fake.domain_name() + "/" + fake.uri_path()])
        if entity == "date":
            moment = fake.date_between("-60y", "today")
            return moment.strftime(pick.choice(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y"]))
        raise ValueError(entity)

    def decoy(self, locale):
        fake, pick = self.faker(locale), self.random
        digits = lambda count: "".join(pick.choice("0123456789") for _ in range(count))
        return pick.choice([
            lambda: "order " + digits(8), lambda: "#" + digits(10), fake.isbn13, fake.ean13, fake.uuid4, fake.md5,
            lambda: f"{pick.uniform(1, 9e6):,.2f}", lambda: f"v{digits(1)}.{digits(2)}.{digits(1)}.{digits(4)}", lambda: digits(12),
            lambda: f"{digits(4)}-{digits(4)}-{digits(4)}-{digits(4)}"[:14], lambda: f"{pick.randrange(24):02}:{pick.randrange(60):02}:{pick.randrange(60):02}",
            lambda: "AB-" + digits(5), lambda: f"{digits(3)}x{digits(3)}", lambda: str(pick.random()), lambda: digits(16), lambda: "std::string",
            lambda: "main.rs:" + digits(3), fake.word, lambda: digits(2) + "%", lambda: f"{digits(3)} {digits(3)} {digits(3)} EUR", lambda: "SKU" + digits(9),
        ])()

    def sentences(self, count):
        """Pairs of a text and its labels: start, end (in characters), entity."""
        pick = self.random
        out = []
        for _ in range(count):
            locale = pick.choice(LOCALES)
            words = WORDS[locale.split("_")[0]]
            if pick.random() < 0.33:
                value, entity, word = self.decoy(locale), None, pick.choice(["no.", "ref", "code", ""])
            elif pick.random() < 0.3:
                home, method, entity, _, word = pick.choice(IDS)
                value = getattr(self.faker(home), method)()
            else:
                entity = pick.choice(list(COMMON))
                value = self.value(locale, entity)
                place = list(COMMON).index(entity)
                word = words[place] if place < 4 else {"ip-address": "IP", "mac-address": "MAC", "url": "URL"}.get(entity, "")
            before, after = pick.choice(words[5]).split("{}")
            announce = word + pick.choice([": ", " ", " - "]) if word and (entity is None or pick.random() < 0.67) else ""
            text = before + announce + value + after
            start = len(before) + len(announce)
            out.append((text.replace("\n", " "), [(start, start + len(value), entity)] if entity else []))
        return out

    def tables(self, folder, rows):
        """Tables with headers that say nothing, or are in English; their columns' entities."""
        out = []
        columns = {
            "email": "email", "phone": "phone number", "payment-card": "card number", "iban": "iban", "ip-address": "ip", "mac-address": "mac",
            "url": "website", "date": "ordered", None: "quantity",
        }
        for locale in LOCALES:
            fake = self.faker(locale)
            made = {entity: [self.value(locale, entity) for _ in range(rows)] for entity in columns if entity}
            labels = [(entity, header, made[entity]) for entity, header in columns.items() if entity]
            for home, method, code, _, word in IDS:
                if home == locale:
                    labels.append((code, word, [getattr(self.faker(home), method)() for _ in range(rows)]))
            nothing = {
                "quantity": lambda: self.random.randrange(1000), "price": lambda: f"{self.random.uniform(1, 500):.2f}", "company": fake.company, "order": lambda: self.random.randrange(10**9, 10**10),
                "article": fake.ean13, "version": lambda: f"{self.random.randrange(9)}.{self.random.randrange(20)}.{self.random.randrange(99)}", "uuid": fake.uuid4, "word": fake.word,
                "time": fake.time, "hash": fake.md5, "ratio": lambda: self.random.random(), "counter": lambda: self.random.randrange(10**8, 10**9),
            }
            labels += [(None, header, [str(make()) for _ in range(rows)]) for header, make in nothing.items()]
            for named in (False, True):
                path = folder / f"{locale}-{'named' if named else 'bare'}.csv"
                with open(path, "w", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file)
                    writer.writerow([header if named else f"c{place}" for place, (_, header, _) in enumerate(labels)])
                    writer.writerows(zip(*(values for _, _, values in labels)))
                out.append((path, named, labels))
        return out


class Presidio:
    """Presidio's pattern recognizers without a language model, with context words."""

    def __init__(self):
        import spacy
        import presidio_analyzer.predefined_recognizers as known
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

        class Words(NlpEngine):
            """Splits words; a lemma is the word in small letters."""

            def __init__(self):
                self.nlp = spacy.blank("xx")

            def load(self):
                pass

            def is_loaded(self):
                return True

            def process_text(self, text, language):
                doc = self.nlp(text)
                return NlpArtifacts([], doc, [token.idx for token in doc], [token.lower_ for token in doc], self, language)

            def process_batch(self, texts, language, **_):
                return ((text, self.process_text(text, language)) for text in texts)

            def is_stopword(self, word, language):
                return False

            def is_punct(self, word, language):
                return not any(character.isalnum() for character in word)

            def get_supported_entities(self):
                return []

            def get_supported_languages(self):
                return ["en"]

        names = ["EmailRecognizer", "CreditCardRecognizer", "IbanRecognizer", "IpRecognizer", "MacAddressRecognizer", "UrlRecognizer", "DateRecognizer",
                 "UsSsnRecognizer", "UsItinRecognizer", "EsNieRecognizer", "EsNifRecognizer", "ItFiscalCodeRecognizer", "PlPeselRecognizer", "FiPersonalIdentityCodeRecognizer",
                 "InAadhaarRecognizer", "KrRrnRecognizer", "SePersonnummerRecognizer", "DeSocialSecurityRecognizer", "TrNationalIdRecognizer", "CaSinRecognizer"]
        registry = RecognizerRegistry(recognizers=[])
        self.missing = []
        for name in names:
            if hasattr(known, name):
                registry.add_recognizer(getattr(known, name)(supported_language="en"))
            else:
                self.missing.append(name)
        # The countries of all locales, so that national numbers have a chance.
        regions = sorted({locale.split("_")[1] for locale in LOCALES})
        registry.add_recognizer(known.PhoneRecognizer(supported_regions=regions))
        self.engine = AnalyzerEngine(registry=registry, nlp_engine=Words(), supported_languages=["en"])

    def find(self, text):
        return [(one.start, one.end, one.entity_type, one.score) for one in self.engine.analyze(text, "en", score_threshold=0.0)]


def datapact(program, texts):
    lines = "".join(text + "\n" for text in texts)
    started = time.monotonic()
    run = subprocess.run([program, "find"], input=lines.encode(), capture_output=True, check=True)
    seconds = time.monotonic() - started
    out = []
    for text, line in zip(texts, run.stdout.splitlines(), strict=True):
        raw = text.encode()
        place = lambda at: len(raw[:at].decode())
        # A date of birth is a date to Presidio.
        name = lambda entity: "date" if entity == "birth-date" else entity
        out.append([(place(one["start"]), place(one["end"]), name(one["entity"]), one["confidence"]) for one in json.loads(line)])
    return out, seconds


def same(one, other):
    common = min(one[1], other[1]) - max(one[0], other[0])
    return common > 0 and common / (max(one[1], other[1]) - min(one[0], other[0])) >= 0.5


class Score:
    """Counts of one entity."""

    def __init__(self):
        self.labels = self.hit = self.told = self.right = 0

    def rates(self):
        recall = self.hit / self.labels if self.labels else 0.0
        precision = self.right / self.told if self.told else 1.0
        return recall, precision

    def f1(self):
        recall, precision = self.rates()
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def score(found, labelled, entity, ours, least=0.0):
    out = Score()
    for spans, labels in zip(found, labelled, strict=True):
        want = [label for label in labels if label[2] == entity]
        told = [span for span in spans if span[2] == ours and span[3] >= least]
        out.labels += len(want)
        out.told += len(told)
        out.hit += sum(any(same(label, span) for span in told) for label in want)
        out.right += sum(any(same(label, span) for label in want) for span in told)
    return out


def best(found, labelled, entity, theirs):
    scores = sorted({round(span[3], 2) for spans in found for span in spans if span[2] == theirs}) or [0.0]
    return max((score(found, labelled, entity, theirs, least - 0.005) for least in scores), key=Score.f1)


def row(name, ours, theirs):
    cells = [f"{value:.3f}" for value in ours.rates()] + ([f"{value:.3f}" for value in theirs.rates()] if theirs else ["-", "-"])
    ahead = "" if theirs is None else "yes" if ours.f1() >= theirs.f1() else "NO"
    print(f"| {name} | {ours.labels} | " + " | ".join(cells) + f" | {ahead} |")


def labelled(path):
    names = {name: entity for entity, name in COMMON.items()} | {name: code for _, _, code, name, _ in IDS if name} | {"DOMAIN_NAME": "url"}
    out = []
    for sentence in json.loads(pathlib.Path(path).read_text(encoding="utf-8")):
        spans = [(span["start_position"], span["end_position"], names.get(span["entity_type"])) for span in sentence["spans"]]
        out.append((sentence["full_text"].replace("\n", " "), [span for span in spans if span[2]]))
    return out


def sentences(program, data, presidio):
    count = len(data)
    texts, labels = [text for text, _ in data], [label for _, label in data]
    ours, our_seconds = datapact(program, texts)
    started = time.monotonic()
    theirs = [presidio.find(text) for text in texts]
    their_seconds = time.monotonic() - started
    print(f"\n{count} sentences: Datapact {our_seconds:.1f} s, Presidio {their_seconds:.1f} s\n")
    print("| entity | labels | recall | precision | recall, Presidio | precision, Presidio | ahead |\n|---|---|---|---|---|---|---|")
    present = {label[2] for one in labels for label in one}
    for entity, name in COMMON.items():
        if entity not in present:
            continue
        row(entity, score(ours, labels, entity, entity), best(theirs, labels, entity, name))
    for _, _, code, name, _ in IDS:
        if code not in present:
            continue
        row(code, score(ours, labels, code, code), best(theirs, labels, code, name) if name else None)
    if "--misses" in sys.argv:
        for text, label, found in zip(texts, labels, ours, strict=True):
            wrong = [one for one in label if not any(same(one, span) and span[2] == one[2] for span in found)]
            more = [span for span in found if not any(same(one, span) and span[2] == one[2] for one in label)]
            if wrong or more:
                print("MISS" if wrong else "MORE", repr(text), wrong, [(text[span[0]:span[1]], span[2], round(span[3], 2)) for span in more], file=sys.stderr)


def tables(program, maker, presidio, rows):
    with tempfile.TemporaryDirectory() as folder:
        made = maker.tables(pathlib.Path(folder), rows)
        run = subprocess.run([program, "scan", *(str(path) for path, _, _ in made)], capture_output=True, check=True)
        found = {one["file"]: one["columns"] for one in map(json.loads, run.stdout.splitlines())}
    names = dict(COMMON) | {code: name for _, _, code, name, _ in IDS}
    back = {name: entity for entity, name in names.items() if name}
    scores = collections.defaultdict(lambda: {"bare": Score(), "named": Score(), "presidio": Score()})

    def count(entity, told, way):
        if entity:
            scores[entity][way].labels += 1
            scores[entity][way].hit += told == entity
        if told in names:
            scores[told][way].told += 1
            scores[told][way].right += told == entity

    for path, named, labels in made:
        for (entity, _, values), column in zip(labels, found[str(path)], strict=True):
            told = column["found"]
            # Dates over decades are proposed as dates of birth, for review.
            told = "date" if told == "birth-date" and entity == "date" else told
            count(entity, told, "named" if named else "bare")
            if "--misses" in sys.argv and told != entity and (entity or told in names):
                print("COLUMN", path.name, column["name"], entity, told, column["wholly"][:3], values[:3], file=sys.stderr)
            if not named:
                # A column is what most of its first values are, each taken as the entity with the highest score.
                votes = collections.Counter()
                for value in values[:50]:
                    whole = [one for one in presidio.find(value) if one[1] - one[0] >= 0.8 * len(value)]
                    if whole:
                        votes[max(whole, key=lambda one: one[3])[2]] += 1
                top = votes.most_common(1)
                count(entity, back.get(top[0][0]) if top and top[0][1] >= 25 else None, "presidio")
    print(f"\n{len(made) // 2} tables of {rows} records, with headers that say nothing, and with English headers\n")
    print("| column | tables | recall | precision | recall, headers | precision, headers | recall, Presidio | precision, Presidio |\n|---|---|---|---|---|---|---|---|")
    for entity, name in names.items():
        ways = scores[entity]
        if ways["bare"].labels:
            cells = [f"{value:.2f}" for way in ("bare", "named", "presidio") for value in ways[way].rates()]
            print(f"| {entity} | {ways['bare'].labels} | " + " | ".join(cells if name else cells[:4] + ["-", "-"]) + " |")


def main():
    plain = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    program = plain[0]
    count = int(plain[1]) if len(plain) > 1 else 4000
    seed = int(plain[2]) if len(plain) > 2 else 1
    maker, presidio = Maker(seed), Presidio()
    print(f"seed {seed}; locales {' '.join(LOCALES)}")
    if presidio.missing:
        print(f"not in this Presidio: {' '.join(presidio.missing)}")
    for argument in sys.argv[1:]:
        if argument.startswith("--labelled="):
            return sentences(program, labelled(argument.removeprefix("--labelled=")), presidio)
    sentences(program, maker.sentences(count), presidio)
    tables(program, maker, presidio, 200)


main()
