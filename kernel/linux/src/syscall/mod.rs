//! The system calls: one table, one file per family.
