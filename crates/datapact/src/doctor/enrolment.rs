//! The enrolment: what the profile has verified, what management shows, and what its configuration
//! says.

use datapact_client::{Administrator, ClientError, Session};

use super::Findings;

impl Findings {
    /// Compares the profile's enrolment with management's newest; for an administrator also with
    /// what management's configuration says.
    pub(super) async fn enrolment(&mut self, session: &Session, administers: bool) {
        let (check, known) = ("enrolment", session.profile().known());
        let enrolment = known.enrolment();
        let subject = format!("version {}, {}", enrolment.version, enrolment.fingerprint());
        match session.newer_enrolment(None).await {
            Err(error) => self.enrolment_error(check, &subject, &error),
            Ok(Some(newer)) => {
                let newest = newer.enrolment().version;
                let detail = format!("administrators have signed version {newest} since");
                let advice = "take it over: `datapact identity refresh`";
                self.warning(check, &subject, detail, advice);
            }
            Ok(None) if known.history().is_some() => {
                self.good(check, &subject, "administrators have signed it, and none is newer");
            }
            Ok(None) => {
                let advice = "the administrators sign it: `datapact enrolment sign`";
                self.warning(check, &subject, "no administrator has signed it yet", advice);
            }
        }
        if administers {
            self.enrolment_draft(session).await;
        }
    }

    async fn enrolment_draft(&mut self, session: &Session) {
        let (check, subject) = ("enrolment-draft", "management's configuration");
        match Administrator::new(session.clone()).draft().await {
            Err(error) => self.enrolment_error(check, subject, &error),
            Ok(draft) if !draft.changed => {
                self.good(check, subject, "it says what is published");
            }
            Ok(draft) => {
                let changes: Vec<_> = draft.changes.iter().map(ToString::to_string).collect();
                let detail = format!("it says what is not signed: {}", changes.join("; "));
                let advice = "if that is right, sign it: `datapact enrolment sign`; else ask \
                              management's operator who changed it";
                self.warning(check, subject, detail, advice);
            }
        }
    }

    fn enrolment_error(&mut self, check: &'static str, subject: &str, error: &ClientError) {
        let problem = error.to_problem();
        let advice = problem.hint.as_deref().unwrap_or("see management's log");
        self.error(check, subject, &problem.detail, advice);
    }
}
