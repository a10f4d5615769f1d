//! A coordinator on loopback, spoken to over real WebSockets.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod shutdown;
