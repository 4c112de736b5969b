//! Another list of endpoints, for a reader at work.

use tokio::sync::{mpsc, oneshot};

use super::catalogue::EndpointConfig;
use crate::kernel::config::Unlisted;

/// What the reader is asked to put in force.
#[derive(Debug)]
pub struct Replacement {
    /// The endpoints, validated.
    pub endpoints: Vec<EndpointConfig>,
    /// What becomes of connections to other hosts.
    pub unlisted: Unlisted,
    /// Told when they are in force.
    pub done: oneshot::Sender<()>,
}

/// Nobody reads the programs' events: there is no kernel view, or none any more.
#[derive(Debug, thiserror::Error)]
#[error("there is no kernel view to take them")]
pub struct NoReader;

/// The way to the reader.
#[derive(Debug, Clone)]
pub struct EndpointsInForce(mpsc::Sender<Replacement>);

impl EndpointsInForce {
    /// The two ends.
    pub(in crate::kernel) fn channel() -> (Self, mpsc::Receiver<Replacement>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Attributes the connections from now on by another, validated list, and returns when that is
    /// in force. Connections that are followed keep their endpoint, and endpoints whose name and
    /// kind are in both lists their counts.
    ///
    /// # Errors
    /// Nobody reads.
    pub async fn replace(
        &self,
        endpoints: Vec<EndpointConfig>,
        unlisted: Unlisted,
    ) -> Result<(), NoReader> {
        let (done, in_force) = oneshot::channel();
        let replacement = Replacement { endpoints, unlisted, done };
        self.0.send(replacement).await.map_err(|_| NoReader)?;
        in_force.await.map_err(|_| NoReader)
    }
}
