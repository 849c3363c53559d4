//! What drivers, tools and poolers set without asking whether it means anything here.

use crate::Unit::{Blocks, Kilobytes};
use crate::definition::{Category, Definition};

const MEMORY: Category = Category("Resource Usage / Memory");
const PLANNER: Category = Category("Query Tuning / Planner Method Configuration");
const COSTS: Category = Category("Query Tuning / Planner Cost Constants");
const OTHER: Category = Category("Query Tuning / Other Planner Options");
const STATEMENT: Category = Category("Client Connection Defaults / Statement Behavior");

const MEMORY_NOTE: &str = "accepted; sqlite_cache_size sets the memory of a connection";
const PLANNER_NOTE: &str = "accepted; SQLite chooses its plans by its own rules";

/// The largest cost that PostgreSQL accepts.
const COST_MAX: f64 = f64::MAX;

pub(super) const SETTINGS: &[Definition] = &[
    MEMORY.int("work_mem", "4MB", 64, 2_147_483_647).unit(Kilobytes).about(MEMORY_NOTE),
    MEMORY.int("maintenance_work_mem", "64MB", 1024, 2_147_483_647).unit(Kilobytes).about(MEMORY_NOTE),
    MEMORY.int("temp_buffers", "8MB", 100, 1_073_741_823).unit(Blocks).about(MEMORY_NOTE),
    PLANNER.bool("enable_bitmapscan", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_hashagg", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_hashjoin", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_indexonlyscan", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_indexscan", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_material", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_mergejoin", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_nestloop", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_seqscan", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_sort", "on").about(PLANNER_NOTE),
    PLANNER.bool("enable_tidscan", "on").about(PLANNER_NOTE),
    COSTS.int("effective_cache_size", "4GB", 1, 2_147_483_647).unit(Blocks).about(PLANNER_NOTE),
    COSTS.real("random_page_cost", "4", 0.0, COST_MAX).about(PLANNER_NOTE),
    COSTS.real("seq_page_cost", "1", 0.0, COST_MAX).about(PLANNER_NOTE),
    OTHER.bool("jit", "off").about("accepted; there is no just-in-time compiler"),
    OTHER.int("default_statistics_target", "100", 1, 10_000).about(PLANNER_NOTE),
    OTHER.int("from_collapse_limit", "8", 1, 2_147_483_647).about(PLANNER_NOTE),
    OTHER.int("join_collapse_limit", "8", 1, 2_147_483_647).about(PLANNER_NOTE),
    OTHER.one_of("constraint_exclusion", "partition", &["partition", "on", "off"]).about(PLANNER_NOTE),
    OTHER
        .one_of("plan_cache_mode", "auto", &["auto", "force_generic_plan", "force_custom_plan"])
        .about(PLANNER_NOTE),
    OTHER
        .int("max_parallel_workers_per_gather", "0", 0, 1024)
        .about("accepted; a statement runs in one thread"),
    STATEMENT.bool("check_function_bodies", "on").about("accepted; there are no stored functions"),
    STATEMENT.text("default_tablespace", "").about("accepted; there are no tablespaces"),
    STATEMENT.text("temp_tablespaces", "").about("accepted; there are no tablespaces"),
    STATEMENT.text("default_table_access_method", "heap").about("accepted; every table is SQLite's"),
    STATEMENT
        .one_of("xmloption", "content", &["content", "document"])
        .about("accepted; there is no type for XML"),
];
