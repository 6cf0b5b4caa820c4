//! The media type of a file, by its name.

use std::path::Path;

/// The type of data for which none was given and none is found.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// The media type that goes with the name's extension.
pub(crate) fn of(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("csv") => "text/csv",
        Some("tsv") => "text/tab-separated-values",
        Some("txt" | "md" | "log") => "text/plain",
        Some("json") => "application/json",
        Some("jsonl" | "ndjson") => "application/x-ndjson",
        Some("parquet") => "application/vnd.apache.parquet",
        Some("xml") => "application/xml",
        Some("html") => "text/html",
        Some("pdf") => "application/pdf",
        Some("zip") => "application/zip",
        Some("gz") => "application/gzip",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("dcm") => "application/dicom",
        _ => UNKNOWN,
    }
}
