//! SQL Server, and what only its endpoint has to stand.

mod faults;
