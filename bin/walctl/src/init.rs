use std::path::PathBuf;

use clap::Args;
use walship_node::{DataDirectory, NewCluster, create_cluster};
use walship_types::{PageSize, SegmentSize};

use crate::failure::Failure;

/// Create a new cluster, without starting it
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory; must be empty or not exist
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// Size of the log's segment files, a power of two from 1MB to 1GB
    #[arg(long, value_name = "SIZE", default_value = "16MB", value_parser = SegmentSize::parse)]
    wal_segment_size: SegmentSize,

    /// Page size of new databases in bytes, a power of two from 512 to 65536
    #[arg(long, value_name = "BYTES", default_value = "4096", value_parser = PageSize::parse)]
    page_size: PageSize,

    /// Let the directory's group read everything
    #[arg(long)]
    allow_group_access: bool,
}

/// Creates the cluster.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = DataDirectory::new(&arguments.directory);
    let wanted = NewCluster {
        segment_size: arguments.wal_segment_size,
        page_size: arguments.page_size,
        directory_mode: if arguments.allow_group_access { 0o750 } else { 0o700 },
    };
    let control = create_cluster(&directory, wanted)?;
    let shown = arguments.directory.display();
    println!("created cluster {} in {shown}", control.system_id);
    println!("start it with: walsender -D {shown}");
    Ok(())
}
