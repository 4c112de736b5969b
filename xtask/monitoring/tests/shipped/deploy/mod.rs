//! What is shipped to run it with, as those who run it read it: Compose, Kubernetes, Docker, Grafana.

mod agreement;
mod compose;
pub mod files;
mod image;
mod kubernetes;
mod operator;
mod schema;
