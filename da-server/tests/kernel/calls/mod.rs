//! Calls through the real clients over real TLS to stand-ins, joined with what the real programs saw.

mod causes;
mod crowd;
mod desk;
mod differences;
mod incomplete;
mod line;
mod network;
mod page;
mod provider;
mod reused;
mod served;
mod shared;
mod window;
