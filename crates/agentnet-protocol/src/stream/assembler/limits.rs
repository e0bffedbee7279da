//! Bounds of an assembler, and the errors of frames beyond them.

/// How much an assembler may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLimits {
    /// Frames that wait for an earlier one. Default 65,536.
    pub held_frames: usize,
    /// Bytes of JSON in the frames that wait. Default 64 MiB.
    pub held_bytes: usize,
    /// Bytes of text in all pieces together, as JSON. Default 64 MiB.
    pub text_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            held_frames: 65_536,
            held_bytes: 64 << 20,
            text_bytes: 64 << 20,
        }
    }
}

/// Why a frame was not taken. The assembler stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// It belongs to another stream.
    #[error("a frame of stream `{found}` among those of `{expected}`")]
    OtherStream {
        /// The stream that is assembled.
        expected: String,
        /// The frame's.
        found: String,
    },
    /// Too much waits for a frame that has not come.
    #[error("{frames} frames ({bytes} bytes) wait for frame {missing}, which has not come")]
    Full {
        /// Frames that wait.
        frames: usize,
        /// Bytes of JSON in the frames that wait.
        bytes: usize,
        /// The first that is missing.
        missing: u64,
    },
    /// The text is longer than allowed.
    #[error("the text of the stream exceeds {limit} bytes")]
    TextTooLong {
        /// [`StreamLimits::text_bytes`].
        limit: usize,
    },
}
