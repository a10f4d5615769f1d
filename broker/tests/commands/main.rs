//! The commands that are clients, as processes, against a real cluster.

#[cfg(test)]
mod program;
#[cfg(test)]
mod talk;
