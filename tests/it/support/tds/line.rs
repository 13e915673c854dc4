//! The line to a client: plain, or TLS, whose handshake goes in packets of its own (MS-TDS, 2.2.6.5).

use std::{
    io::{Read, Result, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::requests::PRELOGIN;

/// The certificate of `localhost` and `127.0.0.1`, which it signed itself, so that nobody trusts it who is not told to.
pub(crate) const CERTIFICATE: &str = include_str!("certificate.pem");
/// Its key, which protects nothing: it was made for this.
const KEY: &str = include_str!("key.pem");

/// The line.
pub(super) enum Line {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ServerConnection, Framed>>),
}

/// A connection whose bytes travel in packets while the handshake lasts.
pub(super) struct Framed {
    stream: TcpStream,
    /// False: packets are no longer put around them.
    shaking: bool,
    /// What of the packet that is being read was not taken yet.
    left: usize,
}

impl Line {
    /// The same line, encrypted from here on.
    pub(super) fn encrypted(self) -> Result<Line> {
        let mut socket = Framed { stream: self.into_stream(), shaking: true, left: 0 };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        // Beyond the handshake 1.3 goes on talking; servers that wrap it in packets offer 1.2.
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        socket.shaking = false;
        Ok(Line::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// The same line, no longer encrypted.
    pub(super) fn plain(self) -> Line {
        Line::Plain(self.into_stream())
    }

    fn into_stream(self) -> TcpStream {
        match self {
            Line::Plain(stream) => stream,
            Line::Tls(tls) => tls.sock.stream,
        }
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self {
            Line::Plain(stream) => stream.read(into),
            Line::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Line::Plain(stream) => stream.write(bytes),
            Line::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Line::Plain(stream) => stream.flush(),
            Line::Tls(tls) => tls.flush(),
        }
    }
}

impl Read for Framed {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if !self.shaking {
            return self.stream.read(into);
        }
        if self.left == 0 {
            let mut header = [0; 8];
            self.stream.read_exact(&mut header)?;
            self.left = usize::from(u16::from_be_bytes([header[2], header[3]])).saturating_sub(8);
        }
        let wanted = into.len().min(self.left);
        let taken = self.stream.read(&mut into[..wanted])?;
        self.left -= taken;
        Ok(taken)
    }
}

impl Write for Framed {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if !self.shaking {
            return self.stream.write(bytes);
        }
        let size = u16::try_from(bytes.len() + 8).unwrap().to_be_bytes();
        self.stream.write_all(&[&[PRELOGIN, 1, size[0], size[1], 0, 0, 1, 0], bytes].concat())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.flush()
    }
}
