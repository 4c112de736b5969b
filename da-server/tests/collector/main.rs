//! The collector as a program, without its kernel view: what it serves, says and takes. What it
//! collects is in tests/kernel.

mod access;
mod checking;
mod reloading;
mod replaying;
mod scraping;
mod serving;
mod tls;
