//! From the exported constant to functions that may be called: tables of any size are copied, what is needed is there.

use std::ptr;

use longshore_plugin_api::c_abi::tables::{
    Create, DeleteLedger, DriverMetadata, GiveBack, Health, Offload, OpenRead, Read, Scan, Shutdown, Start, Validate,
};
use longshore_plugin_api::c_abi::{Driver, Plugin, ReadHandle, Root, Table};
use longshore_plugin_api::note::NOTE_BYTES_MAX;

use super::values;

/// No table of any version is longer; what says so is no table.
const TABLE_BYTES_MAX: usize = 64 * 1024;

/// Why the tables of a library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(in crate::plugin) enum TableProblem {
    /// A pointer that leads nowhere.
    #[error("its {0} is null")]
    Null(&'static str),
    /// A pointer that cannot be one.
    #[error("the address of its {0} is impossible")]
    Misaligned(&'static str),
    /// Another size than a table can have.
    #[error("its {table} says that it has {size} bytes, at least {min} are needed; set struct_size to sizeof({table})")]
    Size {
        /// The name in the header.
        table: &'static str,
        /// What `struct_size` says.
        size: usize,
        /// The size in version 1.0.
        min: usize,
    },
    /// A function that every plugin has.
    #[error("its {table} has no function `{function}`, which is needed")]
    Function {
        /// The name in the header.
        table: &'static str,
        /// The member.
        function: &'static str,
    },
    /// The note of the constant is no text.
    #[error("its offloader_root has no readable note; let OFFLOADER_EXPORT make it")]
    Note,
}

/// What the constant leads to.
#[derive(Debug)]
pub(super) struct Tables {
    /// The note, as the library repeats it.
    pub(super) note: String,
    /// The contract it was compiled for, `MAJOR.MINOR.PATCH`.
    pub(super) api: String,
    pub(super) functions: Functions,
}

/// The functions of a library. What may be null in the tables is an option here, the others are there.
#[derive(Debug)]
pub(super) struct Functions {
    pub(super) start: Start,
    pub(super) validate: Validate,
    pub(super) create: Create,
    pub(super) offload: Offload,
    pub(super) open_read: OpenRead,
    pub(super) delete_ledger: DeleteLedger,
    pub(super) destroy: GiveBack,
    pub(super) driver_metadata: Option<DriverMetadata>,
    pub(super) scan: Option<Scan>,
    pub(super) health: Option<Health>,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) read: Read,
    pub(super) close: GiveBack,
}

impl Tables {
    /// Reads the constant and the tables behind it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    ///
    /// # Safety
    /// `root` is null or points to as many bytes as its `struct_size` says, and so do the tables it leads to; they stay so until
    /// the process ends.
    pub(super) unsafe fn read(root: *const Root) -> Result<Self, TableProblem> {
        // SAFETY: the caller's promise.
        let root = unsafe { read_table(root)? };
        // SAFETY: the caller's promise; the length is checked before a byte is read.
        let note = unsafe { values::text(root.note, NOTE_BYTES_MAX, "note") };
        let note = note.ok().flatten().ok_or(TableProblem::Note)?;
        // SAFETY: the caller's promise.
        let plugin = unsafe { read_table(root.plugin)? };
        // SAFETY: the caller's promise.
        let driver = unsafe { read_table(root.driver)? };
        // SAFETY: the caller's promise.
        let read_handle = unsafe { read_table(root.read_handle)? };
        let api = format!("{}.{}.{}", root.api_major, root.api_minor, root.api_patch);
        Ok(Self { note, api, functions: Functions::of(&plugin, &driver, &read_handle)? })
    }
}

impl Functions {
    fn of(plugin: &Plugin, driver: &Driver, read_handle: &ReadHandle) -> Result<Self, TableProblem> {
        Ok(Self {
            start: needed::<Plugin, _>("start", plugin.start)?,
            validate: needed::<Plugin, _>("validate", plugin.validate)?,
            create: needed::<Plugin, _>("create", plugin.create)?,
            offload: needed::<Driver, _>("offload", driver.offload)?,
            open_read: needed::<Driver, _>("open_read", driver.open_read)?,
            delete_ledger: needed::<Driver, _>("delete_ledger", driver.delete_ledger)?,
            destroy: needed::<Driver, _>("destroy", driver.destroy)?,
            driver_metadata: driver.driver_metadata,
            scan: driver.scan,
            health: driver.health,
            shutdown: driver.shutdown,
            read: needed::<ReadHandle, _>("read", read_handle.read)?,
            close: needed::<ReadHandle, _>("close", read_handle.close)?,
        })
    }
}

fn needed<T: Table, F>(name: &'static str, function: Option<F>) -> Result<F, TableProblem> {
    function.ok_or(TableProblem::Function { table: T::NAME, function: name })
}

/// Copies a table: members that it does not have are zero, members that we do not know are left out.
///
/// # Errors
/// A null or impossible pointer; a size below that of version 1.0 or beyond reason.
///
/// # Safety
/// `table` is null, or leads to as many readable bytes as its `struct_size` says.
unsafe fn read_table<T: Table>(table: *const T) -> Result<T, TableProblem> {
    if table.is_null() {
        return Err(TableProblem::Null(T::NAME));
    }
    if !table.is_aligned() {
        return Err(TableProblem::Misaligned(T::NAME));
    }
    // SAFETY: every `Table` begins with `struct_size`, and the caller says that the pointer leads to one.
    let size = unsafe { table.cast::<usize>().read() };
    if !(T::SIZE_MIN..=TABLE_BYTES_MAX).contains(&size) {
        return Err(TableProblem::Size { table: T::NAME, size, min: T::SIZE_MIN });
    }
    let mut copy = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the source has `size` readable bytes, the target `size_of::<T>()`, and they are different memory.
    unsafe { ptr::copy_nonoverlapping(table.cast::<u8>(), copy.as_mut_ptr().cast(), size.min(size_of::<T>())) };
    // SAFETY: all zeros is a valid `Table`, and what was copied over it are members of a `T`.
    Ok(unsafe { copy.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use longshore_plugin_api::c_abi::{ErrorBuffer, Host};

    use super::*;

    unsafe extern "C" fn start(_: *const Host, _: *mut ErrorBuffer) -> u32 {
        0
    }

    unsafe extern "C" fn give_back(_: *mut c_void) {}

    fn plugin() -> Plugin {
        Plugin {
            struct_size: size_of::<Plugin>(),
            start: Some(start),
            validate: None,
            create: None,
            get_extension: None,
        }
    }

    #[test]
    fn a_longer_table_is_cut_and_a_shorter_one_filled_up() {
        #[repr(C)]
        struct Longer(Plugin, [u64; 100]);
        let longer = Longer(Plugin { struct_size: size_of::<Longer>(), ..plugin() }, [u64::MAX; 100]);
        // SAFETY: it has as many bytes as it says.
        let read = unsafe { read_table((&raw const longer).cast::<Plugin>()) }.unwrap();
        assert_eq!(read.struct_size, size_of::<Longer>());
        assert!(read.start.is_some() && read.create.is_none());
    }

    #[test]
    fn what_is_no_table_is_told() {
        // SAFETY: null is allowed.
        let null = unsafe { read_table(ptr::null::<Driver>()) };
        assert_eq!(null.unwrap_err(), TableProblem::Null("offloader_driver_t"));
        for size in [0, 1, Plugin::SIZE_MIN - 1, TABLE_BYTES_MAX + 1, usize::MAX] {
            let wrong = Plugin { struct_size: size, ..plugin() };
            // SAFETY: the size is looked at before anything else.
            let wrong = unsafe { read_table(&wrong) }.unwrap_err();
            assert_eq!(wrong, TableProblem::Size { table: "offloader_plugin_t", size, min: Plugin::SIZE_MIN });
        }
        let bytes = [0_u64; 20];
        let crooked = bytes.as_ptr().cast::<u8>().wrapping_add(1).cast::<Plugin>();
        // SAFETY: an address that is not aligned is not read.
        assert_eq!(unsafe { read_table(crooked) }.unwrap_err(), TableProblem::Misaligned("offloader_plugin_t"));
    }

    #[test]
    fn a_hole_where_a_function_is_needed_is_named() {
        // SAFETY: all zeros is a valid table.
        let (driver, mut handle) = unsafe { (std::mem::zeroed::<Driver>(), std::mem::zeroed::<ReadHandle>()) };
        handle.close = Some(give_back);
        let problem = Functions::of(&plugin(), &driver, &handle).unwrap_err();
        assert_eq!(problem.to_string(), "its offloader_plugin_t has no function `validate`, which is needed");
    }
}
