//! Prices as people write and read them.

use std::str::FromStr;

use datapact_core::policy::Price;

/// `10.00EUR`: an amount with a point and an ISO 4217 currency code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PriceText(pub(crate) Price);

/// Digits of the minor unit (ISO 4217); the others have two.
fn minor_digits(currency: &str) -> usize {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

impl FromStr for PriceText {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parse = || {
            let (number, currency) = text.split_at_checked(text.len().checked_sub(3)?)?;
            let number = number.trim_end();
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            let digits = minor_digits(currency);
            let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let well_formed = currency.bytes().all(|byte| byte.is_ascii_uppercase())
                && !whole.is_empty()
                && all_digits(whole)
                && all_digits(fraction)
                && (fraction.len() == digits || !number.contains('.'));
            let amount: u64 = format!("{whole}{fraction:0<digits$}").parse().ok()?;
            well_formed.then(|| Self(Price { amount, currency: currency.to_owned() }))
        };
        parse().ok_or_else(|| {
            "a price is an amount and a currency, such as `10.00EUR` or `500JPY`".to_owned()
        })
    }
}

/// A price for people, in the form that is read.
pub(crate) fn price_text(price: &Price) -> String {
    let digits = minor_digits(&price.currency);
    let amount = format!("{:0>width$}", price.amount, width = digits + 1);
    match amount.split_at_checked(amount.len() - digits) {
        Some((whole, fraction)) if digits > 0 => format!("{whole}.{fraction}{}", price.currency),
        _ => format!("{amount}{}", price.currency),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn prices_are_read_and_written_alike() {
        for (text, amount) in [
            ("10.00EUR", 1000),
            ("0.05SEK", 5),
            ("500JPY", 500),
            ("1.250KWD", 1250),
            ("0.00EUR", 0),
        ] {
            let price = text.parse::<PriceText>().unwrap().0;
            assert_eq!(price.amount, amount);
            assert_eq!(price_text(&price), text);
        }
        assert_eq!("10EUR".parse::<PriceText>().unwrap().0.amount, 1000);
        for bad in [
            "",
            "EUR",
            "10",
            "10.0EUR",
            "10.000EUR",
            "1.0JPY",
            "-1EUR",
            "10eur",
            "1,00EUR",
            ".50EUR",
            "10.EUR",
        ] {
            assert!(bad.parse::<PriceText>().is_err(), "`{bad}` was accepted");
        }
    }
}
