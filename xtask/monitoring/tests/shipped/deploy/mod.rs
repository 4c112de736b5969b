//! What is shipped to run it with, as those who run it read it: Compose, Kubernetes, Docker, Grafana.

mod agreement;
mod compose;
mod image;
mod kubernetes;
mod operator;
mod schema;
