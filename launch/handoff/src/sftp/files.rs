//! One SFTP session: what of the protocol reads is answered, everything else is refused.

use std::collections::HashMap;

use russh_sftp::protocol::{
    Attrs, Data, File, FileAttributes, FileMode, Handle, Name as Names, OpenFlags, Status, StatusCode,
    Version,
};
use russh_sftp::server::{Handler, StatusReply};

use super::Access;
use crate::Channel;
use crate::shelf::{Entry, Found, Name, Opened, ShelfError};

/// Names in one answer.
const NAMES_MAX: usize = 64;

/// Files and folders that are open.
enum Open {
    File {
        name: Name,
        file: Opened,
        on_record: bool,
    },
    Folder {
        left: std::vec::IntoIter<Entry>,
    },
}

pub(super) struct Files {
    access: Access,
    open: HashMap<String, Open>,
    /// The next handle's number; none is used twice.
    next: u64,
}

impl Files {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            open: HashMap::new(),
            next: 0,
        }
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Handle, StatusReply> {
        if self.open.len() >= self.access.limits.handles_max {
            let what = format!(
                "more than {} open files and folders",
                self.access.limits.handles_max
            );
            return Err(StatusCode::Failure.with_message(what));
        }
        let handle = self.next.to_string();
        self.next += 1;
        self.open.insert(handle.clone(), open);
        Ok(Handle { id, handle })
    }

    async fn attributes(&self, id: u32, path: &str) -> Result<Attrs, StatusReply> {
        let name = Name::parse(path).map_err(refusal)?;
        let found = self
            .access
            .blocking(move |shared, role| shared.shelf.find(role, &name))
            .await;
        let attrs = match found.map_err(refusal)? {
            Found::File(file) => file_attributes(&file),
            Found::Folder(_, entry) => attributes(&entry),
        };
        Ok(Attrs { id, attrs })
    }
}

fn refusal(error: ShelfError) -> StatusReply {
    match error {
        ShelfError::Missing => StatusCode::NoSuchFile.into(),
        ShelfError::Refused => StatusCode::PermissionDenied.into(),
        error @ (ShelfError::Changed | ShelfError::Io(_)) => {
            tracing::warn!(%error, "a package cannot be read");
            StatusCode::Failure.with_message("the file cannot be read now; try again")
        }
    }
}

/// Neither owner nor group: they name nobody at the other end.
fn attributes(entry: &Entry) -> FileAttributes {
    let (kind, mode) = if entry.is_folder {
        (FileMode::DIR, 0o555)
    } else {
        (FileMode::REG, 0o444)
    };
    FileAttributes {
        size: Some(if entry.is_folder { 0 } else { entry.bytes }),
        permissions: Some(kind.bits() | mode),
        atime: Some(entry.modified_s),
        mtime: Some(entry.modified_s),
        ..FileAttributes::empty()
    }
}

fn file_attributes(file: &Opened) -> FileAttributes {
    attributes(&Entry {
        name: String::new(),
        is_folder: false,
        bytes: file.bytes(),
        modified_s: file.modified_s(),
    })
}

impl Handler for Files {
    type Error = StatusReply;

    /// Whatever writes, links, renames or removes.
    fn unimplemented(&self) -> Self::Error {
        StatusCode::PermissionDenied.with_message("this server only gives files out")
    }

    async fn init(
        &mut self,
        _version: u32,
        _extensions: HashMap<String, String>,
    ) -> Result<Version, Self::Error> {
        Ok(Version::new())
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        pflags: OpenFlags,
        _attrs: FileAttributes,
    ) -> Result<Handle, Self::Error> {
        if pflags.bits() != OpenFlags::READ.bits() {
            return Err(self.unimplemented());
        }
        let name = Name::parse(&filename).map_err(refusal)?;
        let wanted = name.clone();
        let file = self
            .access
            .blocking(move |shared, role| shared.shelf.open(role, &wanted))
            .await;
        let open = Open::File {
            name,
            file: file.map_err(refusal)?,
            on_record: false,
        };
        self.keep(id, open)
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, Self::Error> {
        let Some(Open::File {
            name,
            file,
            on_record,
        }) = self.open.get_mut(&handle)
        else {
            return Err(StatusCode::Failure.into());
        };
        if !*on_record {
            let recorded = self.access.record(name, file, Channel::Sftp).await;
            recorded.map_err(|what| StatusCode::Failure.with_message(what))?;
            *on_record = true;
        }
        if offset >= file.bytes() {
            return Err(StatusCode::Eof.into());
        }
        let (file, length) = (file.clone(), len.min(self.access.limits.read_bytes_max) as usize);
        let data = self
            .access
            .blocking(move |_, _| file.read_at(offset, length))
            .await;
        data.map(|data| Data { id, data }).map_err(refusal)
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Self::Error> {
        self.open
            .remove(&handle)
            .ok_or(StatusReply::new(StatusCode::Failure))?;
        Ok(Status {
            id,
            status_code: StatusCode::Ok,
            error_message: "Ok".to_owned(),
            language_tag: "en".to_owned(),
        })
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        self.attributes(id, &path).await
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        self.attributes(id, &path).await
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Self::Error> {
        match self.open.get(&handle) {
            Some(Open::File { file, .. }) => Ok(Attrs {
                id,
                attrs: file_attributes(file),
            }),
            _ => Err(StatusCode::Failure.into()),
        }
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, Self::Error> {
        let name = Name::parse(&path).map_err(refusal)?;
        let entries = self
            .access
            .blocking(move |shared, role| shared.shelf.list(role, &name))
            .await;
        let left = entries.map_err(refusal)?.into_iter();
        self.keep(id, Open::Folder { left })
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Names, Self::Error> {
        let Some(Open::Folder { left }) = self.open.get_mut(&handle) else {
            return Err(StatusCode::Failure.into());
        };
        let files: Vec<File> = left
            .take(NAMES_MAX)
            .map(|entry| File::new(&entry.name, attributes(&entry)))
            .collect();
        if files.is_empty() {
            return Err(StatusCode::Eof.into());
        }
        Ok(Names { id, files })
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Names, Self::Error> {
        let name = Name::parse(&path).map_err(refusal)?;
        Ok(Names {
            id,
            files: vec![File::dummy(format!("/{name}"))],
        })
    }
}
