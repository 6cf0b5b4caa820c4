//! Datapact.
