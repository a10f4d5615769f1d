//! The programs that benchmarks and chaos are about, as processes: started, watched and ended by a
//! driver, and never left behind. Nothing here knows what they are.

pub mod child;
pub mod cores;
pub mod driver;
pub mod exec;
pub mod footprint;
pub mod metrics;
pub mod usage;
