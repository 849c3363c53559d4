//! What the end-to-end tests, the demonstration and the benchmark are made of:
//! real `walsender` and `walreceiver` processes, stock clients, and the proof that
//! two databases are the same.
//!
//! * [`Lab`] is the private directory and the ports of one test; it makes [`Node`]s.
//! * [`Node`] is one running (or killed, or paused) process on one data directory.
//! * [`Session`] is a connection; [`Load`] is many of them that keep a record of
//!   every commit that was acknowledged.
//! * [`TestArchive`] is what a leader archives to.
//! * [`pages`] compares databases page for page; [`golden()`] compares texts.
//!
//! Nothing here outlives its test: processes are killed by their id when their
//! handle is dropped, and by the kernel when the test program itself dies.

mod archive;
mod browser;
mod certificates;
mod commands;
mod dataset;
mod drivers;
mod golden;
mod http;
mod lab;
mod load;
mod memory;
mod node;
mod oracle;
pub mod pages;
mod port;
pub mod probe;
mod process;
mod programs;
mod proxy;
mod raw_receiver;
mod reader;
mod service_manager;
mod session;
mod small_disk;
mod stock;
mod terminal;
mod tour;
mod trio;
mod user;
mod wait;
mod writers;

pub use archive::TestArchive;
pub use browser::Browser;
pub use certificates::{Authority, CertificateFiles};
pub use commands::{Output, output_of, pgbench, sqlite3};
pub use dataset::generate_shop;
pub use drivers::{node_driver, promtool, python_driver};
pub use golden::{golden, normalize};
pub use http::{HttpAnswer, http_exchange, http_get, try_http_get};
pub use lab::Lab;
pub use load::{Acknowledged, Load};
pub use memory::peak_resident_kib;
pub use node::{Node, Role, assert_identical, wait_caught_up};
pub use oracle::Oracle;
pub use port::Port;
pub use process::{Process, die_with_parent, signal_process};
pub use programs::{postgres_program, program, repository_root, target_dir};
pub use proxy::{Proxy, Weather};
pub use raw_receiver::RawReceiver;
pub use reader::Reader;
pub use service_manager::ServiceManager;
pub use session::{Session, SqlError};
pub use small_disk::SmallDisk;
pub use stock::{pg_verifybackup, spawn_stock, stock, stock_command, unpack};
pub use terminal::Terminal;
pub use tour::Tour;
pub use trio::{Said, Settled, Trio, others};
pub use user::OrdinaryUser;
pub use wait::{DEADLINE, wait_until, wait_until_within};
pub use writers::{Promises, Writer, Written, contradictions, monotonic_seconds};
