use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::listen::Socket;

/// Whether a client runs on this machine as the server's operating-system user, or as
/// root, who could read every file anyway. Who cannot be told is not.
pub(super) fn is_owner(socket: &Socket) -> bool {
    const ROOT: u32 = 0;
    let own = rustix::process::geteuid().as_raw();
    uid_of(socket).is_some_and(|uid| uid == own || uid == ROOT)
}

/// The name of a client's operating-system user, over a Unix socket.
pub(super) fn user_name(socket: &Socket) -> Option<String> {
    match socket {
        Socket::Unix(_) => name_of(uid_of(socket)?),
        _ => None,
    }
}

/// The client's operating-system user, where the operating system vouches for it.
fn uid_of(socket: &Socket) -> Option<u32> {
    if let Socket::Unix(stream) = socket {
        return Some(stream.peer_cred().ok()?.uid());
    }
    let stream = socket.tcp()?;
    let (client, server) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
    let is_here = client.ip().to_canonical().is_loopback() && server.ip().to_canonical().is_loopback();
    if is_here { owner_of_socket(client, server).ok().flatten() } else { None }
}

/// `SOCK_DIAG_BY_FAMILY`, sock_diag(7).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Bytes of `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// Where `struct inet_diag_msg` has its state, the ports of both ends, and the user.
const STATE_AT: usize = HEADER_BYTES + 1;
const PORTS_AT: usize = HEADER_BYTES + 4;
const UID_AT: usize = HEADER_BYTES + 64;
const ESTABLISHED: u8 = 1;

/// Who owns the socket at `client` that is connected to `server`, both on this machine:
/// one question to the kernel, however many sockets there are.
fn owner_of_socket(client: SocketAddr, server: SocketAddr) -> rustix::io::Result<Option<u32>> {
    let flags = SocketFlags::CLOEXEC;
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
    send(&kernel, &question(client, server), SendFlags::empty())?;
    let mut buffer = [0_u8; 512];
    let (_, bytes) = recv(&kernel, &mut buffer[..], RecvFlags::empty())?;
    Ok(uid_in(buffer.get(..bytes).unwrap_or_default(), client, server))
}

fn question(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    const IPPROTO_TCP: u8 = 6;
    const ANY_STATE: u32 = u32::MAX;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    let family = if client.is_ipv4() { AF_INET } else { AF_INET6 };
    let length = (HEADER_BYTES + REQUEST_BYTES) as u32;
    let mut out = Vec::with_capacity(HEADER_BYTES + REQUEST_BYTES);
    out.extend(length.to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, IPPROTO_TCP, 0, 0]);
    out.extend(ANY_STATE.to_ne_bytes());
    out.extend(client.port().to_be_bytes());
    out.extend(server.port().to_be_bytes());
    for address in [client.ip(), server.ip()] {
        match address {
            IpAddr::V4(v4) => {
                out.extend(v4.octets());
                out.extend([0; 12]);
            }
            IpAddr::V6(v6) => out.extend(v6.octets()),
        }
    }
    // any interface, no cookie
    out.extend(0_u32.to_ne_bytes());
    out.extend([0xff; 8]);
    out
}

fn uid_in(answer: &[u8], client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let ports: [u8; 4] = answer.get(PORTS_AT..PORTS_AT + 4)?.try_into().ok()?;
    let [own_high, own_low, other_high, other_low] = ports;
    let found = (u16::from_be_bytes([own_high, own_low]), u16::from_be_bytes([other_high, other_low]));
    // a socket that listens on the client's port is not the client's
    let is_it = kind == SOCK_DIAG_BY_FAMILY
        && *answer.get(STATE_AT)? == ESTABLISHED
        && found == (client.port(), server.port());
    let uid = u32::from_ne_bytes(answer.get(UID_AT..UID_AT + 4)?.try_into().ok()?);
    is_it.then_some(uid)
}

fn name_of(uid: u32) -> Option<String> {
    const BYTES: usize = 16 * 1024;
    let mut buffer = vec![0; BYTES];
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut found = std::ptr::null_mut();
    // SAFETY: entry, buffer with its length, and result pointer are ours and live through the call
    let code =
        unsafe { libc::getpwuid_r(uid, entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found) };
    if code != 0 || found.is_null() {
        return None;
    }
    // SAFETY: `found` points to `entry`, which was filled; its name is a terminated string in `buffer`
    let name = unsafe { CStr::from_ptr((*found).pw_name) };
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_knows_whose_a_connection_is() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            let own = rustix::process::geteuid().as_raw();
            assert_eq!(owner_of_socket(ends.0, ends.1), Ok(Some(own)));
            let nobody = SocketAddr::new(ends.0.ip(), 1);
            assert_ne!(owner_of_socket(nobody, ends.1), Ok(Some(own)));
        }
        assert_eq!(name_of(0).as_deref(), Some("root"));
        assert_eq!(name_of(u32::MAX - 7), None);
    }
}
