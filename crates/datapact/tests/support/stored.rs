//! What the servers and users of a site hold, looked up behind their backs.

use datapact_store::{Db, Location, Reader, StoreError};

use super::Site;

impl Site {
    /// Rows that `sql` selects in a server's database, as their first column.
    pub async fn select(&self, role: &str, sql: &str) -> Vec<String> {
        let location = match &self.stores {
            Some(stores) => stores.location(role),
            None => Location::Sqlite(self.file(&format!("servers/{role}/data/{role}.sqlite"))),
        };
        let (reader, sql) = (Reader::open(&location).await.unwrap(), sql.to_owned());
        let first = move |db: &Db| db.rows(sql, [])?.iter().map(|row| row.text(0)).collect();
        reader.read::<_, StoreError>(first).await.unwrap()
    }

    /// The keys that the key server holds, by the shares they belong to.
    pub async fn stored_keys(&self) -> Vec<String> {
        self.select("key", "SELECT share FROM key_entry WHERE sealed IS NOT NULL ORDER BY share")
            .await
    }

    /// The identifiers of the packages that the storage server holds.
    pub async fn stored_packages(&self) -> Vec<String> {
        self.select("storage", "SELECT id FROM package WHERE object IS NOT NULL ORDER BY id").await
    }

    /// The package files there are.
    pub fn package_files(&self) -> Vec<String> {
        let folder = match &self.stores {
            Some(stores) => stores.s3.bucket(),
            None => self.file("servers/storage/data/packages"),
        };
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// What runs of the profile have left undone.
    pub fn work_left(&self, profile: &str) -> usize {
        let folder = self.file(&format!("home/profiles/{profile}/state/work"));
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}
