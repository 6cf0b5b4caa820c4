//! The pages of a row group: those that are read of all columns at once, as Parquet's layout
//! demands, are counted. If they outgrow the memory, one column after the other is read to its end
//! and put into encrypted blocks, from which all are read at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;

/// What a value of a dictionary takes beside its bytes.
const ENTRY_BYTES: usize = 48;

/// How many bytes are held of the current pages of all columns.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A reader of a row group's column whose pages are counted; each may have up to `page_max`
    /// bytes.
    pub(super) fn column(
        &self,
        group: &dyn RowGroupReader,
        leaf: usize,
        page_max: usize,
    ) -> Result<ColumnReader> {
        let schema = group.metadata().schema_descr().column(leaf);
        let pages = group.get_column_page_reader(leaf)?;
        let counted = Counted { pages, held: self.clone(), page_max, page: 0, dictionary: 0 };
        Ok(get_column_reader(schema, Box::new(counted)))
    }
}

/// Counts the page that it gave last, and the dictionary before it.
struct Counted {
    pages: Box<dyn PageReader>,
    held: Held,
    page_max: usize,
    page: usize,
    dictionary: usize,
}

impl Counted {
    fn count(&mut self, page: Option<&Page>) -> Result<()> {
        let before = self.page + self.dictionary;
        match page {
            Some(page) if page.buffer().len() > self.page_max => {
                let page_max = self.page_max;
                return Err(ParquetError::General(format!(
                    "a page is longer than {page_max} bytes"
                )));
            }
            Some(Page::DictionaryPage { buf, num_values, .. }) => {
                self.dictionary = buf.len() + *num_values as usize * ENTRY_BYTES;
            }
            Some(page) => self.page = page.buffer().len(),
            None => (self.page, self.dictionary) = (0, 0),
        }
        self.held.0.fetch_sub(before, Ordering::Relaxed);
        self.held.0.fetch_add(self.page + self.dictionary, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.page + self.dictionary, Ordering::Relaxed);
    }
}

impl Iterator for Counted {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Counted {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        self.count(page.as_ref())?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        let page = self.pages.take_deferred_dictionary()?;
        if page.is_some() {
            self.count(page.as_ref())?;
        }
        Ok(page)
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
