//! The free space of the database's file system.

/// The room on the file system of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that can still be used.
    pub free: u64,
    /// Bytes of the whole file system.
    pub total: u64,
}

impl DiskSpace {
    /// With more than this a file system is never nearly full.
    const AMPLE_BYTES: u64 = 1 << 30;
    /// With less than this it always is.
    const SCARCE_BYTES: u64 = 64 << 20;
    /// The share of a file system, one of so many parts, below which it is nearly full.
    const SCARCE_PART: u64 = 20;

    /// Whether it is nearly full: less than 1 GiB is free, and less than 5 % or 64 MiB.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        let small = self.free < Self::SCARCE_BYTES || self.free < self.total / Self::SCARCE_PART;
        self.free < Self::AMPLE_BYTES && small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearly_full_disk_is_scarce() {
        const MIB: u64 = 1 << 20;
        for (free, total, scarce) in [
            (0, 0, true),
            (63 * MIB, 100 * MIB, true),
            (64 * MIB, 100 * MIB, false),
            (1023 * MIB, 100 * 1024 * MIB, true),
            (1024 * MIB, 100 * 1024 * MIB, false),
            (500 * MIB, 10_000 * MIB, false),
            (499 * MIB, 10_000 * MIB, true),
        ] {
            assert_eq!(DiskSpace { free, total }.is_scarce(), scarce, "{free} of {total}");
        }
    }
}
