//! Another key for a running node.

use std::sync::Arc;

use agentnet_keys::{generate, load};

use super::AgentNode;
use crate::error::{RotateError, SendError};
use crate::identity::KeySource;
use crate::identity::key_source::off_thread;
use crate::identity::rotate::request_rotation;

impl AgentNode {
    /// Binds a new key to the node's account in the place of its own, and signs with it from then on. Other nodes of the
    /// account have to be started again.
    ///
    /// Returns the new public key. A key file is replaced; a key that the program gave is replaced in memory.
    ///
    /// # Errors
    /// [`RotateError`]
    pub async fn rotate_key(&self) -> Result<String, RotateError> {
        let session = self.session().map_err(|_: SendError| RotateError::NotSigning)?;
        let (Some(identity), Some(source)) = (&session.identity, self.key_source()) else {
            return Err(RotateError::NotSigning);
        };
        let account_id = session.account_id();
        match source {
            KeySource::File(path) => {
                let public = session.registry.rotate_key_file(account_id, path).await?;
                let key = off_thread(path.clone(), load).await?;
                identity.set_key(Arc::new(key.ok_or_else(|| RotateError::NoKey(path.clone()))?));
                Ok(public)
            }
            KeySource::Memory(place) => {
                let new = generate();
                request_rotation(&session.registry, account_id, &identity.key(), &new).await?;
                let public = new.public_text().to_owned();
                let new = Arc::new(new);
                *place.write() = new.clone();
                identity.set_key(new);
                Ok(public)
            }
        }
    }
}
