//! The terms of a share, as options or a terms file give them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use datapact_core::identity::Identity;
use datapact_core::policy::Price;
use datapact_core::terms::{Country, Industry, Name, Terms};

use crate::failure::Result;
use crate::price::PriceText;
use crate::terms::{Allow, FromText, Moment, TermsFile, Times};

#[derive(Args)]
pub(super) struct TermsArgs {
    /// A terms file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) terms: Option<PathBuf>,
    /// Countries that may access, such as `SE,DE` (ISO 3166-1)
    #[arg(long, value_name = "CODE,...", value_delimiter = ',')]
    pub(super) allow_country: Option<Vec<Country>>,
    /// Industries that may access, with all below them, such as `isic4:86`
    #[arg(long, value_name = "CODE,...", value_delimiter = ',')]
    pub(super) allow_industry: Option<Vec<Industry>>,
    /// A user who may access, as `realm:subject`; may be repeated
    #[arg(long, value_name = "IDENTITY")]
    pub(super) allow_user: Option<Vec<Identity>>,
    /// Organisations that may access
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(super) allow_organisation: Option<Vec<Name>>,
    /// Let anyone with an account access
    #[arg(long)]
    pub(super) allow_anyone: bool,
    /// Purposes, one of which a consumer must state
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(super) purpose: Option<Vec<Name>>,
    /// How often each consumer may access: a number, or `unlimited`
    #[arg(long, value_name = "N")]
    pub(super) times: Option<Times>,
    /// When access ends: `30d` from now, or a date
    #[arg(long, value_name = "WHEN")]
    pub(super) expires: Option<Moment>,
    /// When access begins; now if not given
    #[arg(long, value_name = "WHEN")]
    pub(super) not_before: Option<Moment>,
    /// Let consumers edit and export the data; they may only look if not given
    #[arg(long)]
    pub(super) allow_edit: bool,
    /// A name for people; the file's name if not given
    #[arg(long)]
    pub(super) title: Option<String>,
    /// Categories
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(super) category: Option<Vec<Name>>,
    /// An introduction
    #[arg(long, value_name = "TEXT")]
    pub(super) introduction: Option<String>,
    /// What the data is meant for
    #[arg(long, value_name = "TEXT")]
    pub(super) usage: Option<String>,
    /// What it costs, such as `10.00EUR`; Datapact does not collect it
    #[arg(long, value_name = "PRICE")]
    pub(super) price: Option<PriceText>,
}

impl TermsArgs {
    /// The terms file; an empty one if none is given.
    pub(super) fn read(&self) -> Result<TermsFile> {
        self.terms.as_deref().map_or_else(|| Ok(TermsFile::default()), TermsFile::read)
    }

    /// The price: the option wins over the terms file.
    pub(super) fn price(&self, file: Option<FromText<PriceText>>) -> Option<Price> {
        self.price.clone().or(file.map(|FromText(price)| price)).map(|PriceText(price)| price)
    }

    /// `terms`, with each kind replaced that an option gives.
    pub(super) fn apply(&self, mut terms: Terms) -> Terms {
        if self.allow_anyone {
            let purposes = std::mem::take(&mut terms.purposes);
            terms = Terms { anyone: true, purposes, ..Terms::default() };
        }
        let restricted = self.allow_user.is_some()
            || self.allow_organisation.is_some()
            || self.allow_industry.is_some()
            || self.allow_country.is_some();
        if restricted && !self.allow_anyone {
            terms.anyone = false;
        }
        fn replace<T: Ord + Clone>(set: &mut BTreeSet<T>, values: &Option<Vec<T>>) {
            if let Some(values) = values {
                *set = values.iter().cloned().collect();
            }
        }
        replace(&mut terms.users, &self.allow_user);
        replace(&mut terms.organisations, &self.allow_organisation);
        replace(&mut terms.industries, &self.allow_industry);
        replace(&mut terms.countries, &self.allow_country);
        replace(&mut terms.purposes, &self.purpose);
        terms
    }
}

/// Who may access, by a terms file.
pub(super) fn allowed(allow: &Allow) -> Terms {
    Terms {
        anyone: allow.anyone,
        users: allow.users.iter().map(|FromText(user)| user.clone()).collect(),
        organisations: allow.organisations.iter().cloned().collect(),
        industries: allow.industries.iter().cloned().collect(),
        countries: allow.countries.iter().cloned().collect(),
        purposes: allow.purposes.iter().cloned().collect(),
    }
}
