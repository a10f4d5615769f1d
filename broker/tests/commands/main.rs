//! The commands that are clients, as processes, against a real cluster.

#[cfg(test)]
mod dev;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod exhaustion;
#[cfg(test)]
mod program;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod revoke;
#[cfg(test)]
mod suspended;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod token;
