use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// What the network between two nodes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Weather {
    /// Everything passes.
    Fair = 0,
    /// Connections are closed, new ones are refused at once.
    Cut = 1,
    /// Connections stay open, and nothing passes: a half-open connection.
    Silent = 2,
    /// About 256 KiB/s in each direction.
    Slow = 3,
}

/// A TCP proxy on loopback whose weather can change at any time.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    weather: AtomicU8,
    stop: AtomicBool,
    /// Connections opened before this was raised are to end.
    generation: AtomicU64,
    target: u16,
}

/// How often a pump looks at the weather while no bytes come.
const LOOK: Duration = Duration::from_millis(20);
const BUFFER_BYTES: usize = 16 * 1024;
/// Pause after one buffer in slow weather: 16 KiB each 64 ms.
const SLOW_PAUSE: Duration = Duration::from_millis(64);

impl Proxy {
    /// Listens on a port of its own and passes everything on to `target`.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the proxy");
        listener.set_nonblocking(true).expect("make the proxy's socket non-blocking");
        let port = listener.local_addr().expect("the proxy's address").port();
        let shared = Arc::new(Shared {
            weather: AtomicU8::new(Weather::Fair as u8),
            stop: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            target,
        });
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Proxy { port, shared }
    }

    /// The port to connect to instead of the target's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the weather, for open connections too.
    pub fn set(&self, weather: Weather) {
        self.shared.weather.store(weather as u8, Ordering::SeqCst);
        if weather == Weather::Cut {
            self.shared.generation.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        match self.weather.load(Ordering::SeqCst) {
            1 => Weather::Cut,
            2 => Weather::Silent,
            3 => Weather::Slow,
            _ => Weather::Fair,
        }
    }

    fn is_over(&self, generation: u64) -> bool {
        self.stop.load(Ordering::SeqCst) || self.generation.load(Ordering::SeqCst) != generation
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((client, _)) if shared.weather() != Weather::Cut => {
                if let Err(error) = connect_through(client, shared) {
                    eprintln!("proxy: {error}");
                }
            }
            Ok(_) => {} // dropped: refused
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

fn connect_through(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target)) else {
        return client.shutdown(Shutdown::Both);
    };
    let generation = shared.generation.load(Ordering::SeqCst);
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        from.set_read_timeout(Some(LOOK))?;
        to.set_nodelay(true)?;
        let shared = shared.clone();
        std::thread::spawn(move || pump(from, to, &shared, generation));
    }
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, generation: u64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while !shared.is_over(generation) {
        let weather = shared.weather();
        if weather == Weather::Silent {
            std::thread::sleep(LOOK);
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        if buffer.get(..count).is_none_or(|bytes| to.write_all(bytes).is_err()) {
            break;
        }
        if weather == Weather::Slow {
            std::thread::sleep(SLOW_PAUSE);
        }
    }
    // the other direction ends by reading the end of its stream
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection through the proxy, and the server's end of it.
    fn pair(proxy: &Proxy, server: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (served, _) = server.accept().unwrap();
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        (client, served)
    }

    #[test]
    fn the_weather_changes_for_open_connections() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::to(server.local_addr().unwrap().port());
        let (mut client, mut served) = pair(&proxy, &server);
        let mut byte = [0];
        served.write_all(b"a").unwrap();
        client.read_exact(&mut byte).unwrap();
        proxy.set(Weather::Silent);
        std::thread::sleep(LOOK * 3); // until the pumps have looked
        served.write_all(b"b").unwrap();
        assert!(client.read_exact(&mut byte).is_err(), "a byte passed in silence");
        proxy.set(Weather::Fair);
        client.set_read_timeout(None).unwrap();
        client.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
        proxy.set(Weather::Cut);
        assert!(matches!(client.read(&mut byte), Ok(0) | Err(_)));
    }
}
