//! What a sender's connections did, for the metrics.

/// What is spoken on a connection. Its text is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    H1,
    /// Over TLS, or by prior knowledge without it.
    H2,
}

/// Why a connection was closed. Its text is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It could not be opened.
    Connect,
    /// The receiver closed it, or allows no further request on it.
    Peer,
    /// The receiver said GOAWAY.
    GoAway,
    /// The receiver refused a request on it, and it carried no other.
    Refused,
    /// It was idle for too long.
    Idle,
    /// It was open for too long.
    Age,
    /// It has carried as many requests as one may.
    Requests,
    /// It was idle and gave way to another host's.
    Evicted,
    /// Its request was cancelled; of HTTP/2, one that was cancelled while nothing came any more.
    Cancelled,
    /// What came on it was broken, or more than is read.
    Error,
    /// The sender is gone.
    Shutdown,
}

impl CloseReason {
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Peer,
        Self::GoAway,
        Self::Refused,
        Self::Idle,
        Self::Age,
        Self::Requests,
        Self::Evicted,
        Self::Cancelled,
        Self::Error,
        Self::Shutdown,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Peer => "peer",
            Self::GoAway => "goaway",
            Self::Refused => "refused",
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Requests => "requests",
            Self::Evicted => "evicted",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Since the start, of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolCounts {
    pub opened: u64,
    /// Requests on a connection that had served another before.
    pub reused: u64,
    /// In the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
}

impl ProtocolCounts {
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed.iter().zip(CloseReason::ALL).find(|(_, this)| *this == reason).map_or(0, |(n, _)| *n)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Open now, with those that are being opened.
    pub open: usize,
    pub h1: ProtocolCounts,
    pub h2: ProtocolCounts,
}

impl ConnectionCounts {
    pub(super) fn of(&mut self, protocol: Protocol) -> &mut ProtocolCounts {
        match protocol {
            Protocol::H1 => &mut self.h1,
            Protocol::H2 => &mut self.h2,
        }
    }

    pub(super) fn close(&mut self, protocol: Protocol, reason: CloseReason) {
        for (count, this) in self.of(protocol).closed.iter_mut().zip(CloseReason::ALL) {
            *count += u64::from(this == reason);
        }
    }

    #[must_use]
    pub fn opened(&self) -> u64 {
        self.h1.opened + self.h2.opened
    }

    #[must_use]
    pub fn reused(&self) -> u64 {
        self.h1.reused + self.h2.reused
    }

    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.h1.closed(reason) + self.h2.closed(reason)
    }
}
