//! A WebSocket client as a browser has it: the handshake of RFC 6455 with an origin, binary frames with NATS lines in them.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest wait for an answer of the server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The key of RFC 6455 section 1.3, and the answer that the section gives for it.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

/// An open WebSocket.
pub struct WebSocket<S> {
    stream: BufReader<S>,
    /// Data that has been received and not read.
    received: Vec<u8>,
}

impl WebSocket<TcpStream> {
    /// Connects to this port of 127.0.0.1; see [`WebSocket::handshake`].
    pub async fn open(port: u16, origin: Option<&str>) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Self::handshake(stream, &format!("127.0.0.1:{port}"), origin).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Asks for the upgrade. The error is the status line with which the server refuses it.
    pub async fn handshake(stream: S, host: &str, origin: Option<&str>) -> Result<Self, String> {
        let origin = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {}\r\n{origin}\r\n",
            KEY.0
        );
        let mut stream = BufReader::new(stream);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        let read = async {
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                match line.trim_end() {
                    "" => return,
                    line => head.push(line.to_owned()),
                }
            }
        };
        timeout(ANSWER_TIMEOUT, read).await.expect("the server answers");
        let status = head.first().cloned().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101 ") {
            return Err(status);
        }
        let accept = format!("sec-websocket-accept: {}", KEY.1);
        assert!(head.iter().any(|line| line.eq_ignore_ascii_case(&accept)), "{head:?}");
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends text as one binary frame, masked as a client's frames must be.
    pub async fn send(&mut self, text: &str) {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let length = u16::try_from(text.len()).unwrap();
        let mut frame = vec![0x82, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        frame.extend(mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next line of the NATS protocol, without its end; `None` after the server has closed.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let (opcode, data) = timeout(ANSWER_TIMEOUT, self.frame())
                .await
                .expect("the server answers")
                .ok()?;
            match opcode {
                0x0..=0x2 => self.received.extend(data),
                0x8 => return None,
                _ => {}
            }
        }
    }

    /// Opcode and content of the next frame.
    async fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            length => u64::from(length),
        };
        assert!(length <= 1 << 20, "a frame of {length} bytes");
        let mut data = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut data).await?;
        Ok((first & 0x0f, data))
    }

    /// Logs in with a token. The answer is the first line that is no `INFO`: `PONG`, or the server's error.
    pub async fn login(&mut self, token: &str) -> String {
        let options = r#""verbose":false,"protocol":1,"headers":true,"no_responders":true"#;
        self.send(&format!("CONNECT {{{options},\"auth_token\":\"{token}\"}}\r\nPING\r\n"))
            .await;
        loop {
            match self.line().await {
                Some(line) if line.starts_with("INFO ") => {}
                Some(line) => return line,
                None => return "closed".to_owned(),
            }
        }
    }

    /// Publishes a request with a reply subject and returns the body of the reply.
    pub async fn request(&mut self, subject: &str, body: &str) -> String {
        self.send(&format!(
            "SUB _AGENTNET.test 1\r\nPUB {subject} _AGENTNET.test {}\r\n{body}\r\n",
            body.len()
        ))
        .await;
        loop {
            let line = self.line().await.expect("the server stays");
            assert!(!line.starts_with("-ERR"), "{line}");
            if line.starts_with("MSG ") {
                return self.line().await.expect("the message has a body");
            }
        }
    }
}
