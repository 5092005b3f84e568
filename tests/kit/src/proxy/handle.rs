//! The proxy as tests hold it. It runs on a thread of its own, so that it goes on while a test blocks, and serves tests without a runtime.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    sync::{Arc, mpsc as sync_mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time::{Instant, sleep},
};

use url::Url;

use super::{
    faults::{Counts, Faults, Loss},
    relay::relay,
};
use crate::reservation::Reservation;

/// A proxy in front of a server; dropping it closes its connections.
#[derive(Debug)]
pub struct FaultProxy {
    reservation: Reservation,
    faults: Arc<Faults>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Order {
    what: What,
    done: sync_mpsc::Sender<()>,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Cut,
    Refuse,
    Accept,
}

impl FaultProxy {
    /// Starts a proxy before a server, such as `("127.0.0.1", redis.port())`. The server need not be there yet.
    ///
    /// # Panics
    ///
    /// When `upstream` is no address.
    #[track_caller]
    pub fn start(upstream: impl ToSocketAddrs) -> Self {
        let upstream = upstream.to_socket_addrs().ok().and_then(|mut found| found.next());
        let upstream = upstream.expect("the server's address can be resolved");
        let reservation = Reservation::take();
        let faults = Arc::new(Faults::default());
        let (orders, queue) = mpsc::unbounded_channel();
        let core = Core {
            address: (Ipv4Addr::LOCALHOST, reservation.port()).into(),
            upstream,
            faults: Arc::clone(&faults),
            connections: JoinSet::new(),
        };
        let run = move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be started")
                .block_on(LocalSet::new().run_until(core.run(queue)));
        };
        let thread = thread::Builder::new().name("testkit-proxy".into()).spawn(run);
        let proxy = Self {
            reservation,
            faults,
            orders: Some(orders),
            thread: Some(thread.expect("a thread can be started")),
        };
        proxy.accept();
        proxy
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.reservation.port()).into()
    }

    /// The same for Redis clients, without a password.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.addr())
    }

    /// The address of a server with the proxy in its place.
    ///
    /// # Panics
    ///
    /// When it is no URL with a host.
    #[track_caller]
    pub fn before(&self, url: &str) -> String {
        let mut url = Url::parse(url).expect("the server's address is a URL");
        url.set_ip_host(self.addr().ip()).expect("the address has a host");
        url.set_port(Some(self.addr().port())).expect("the address has a host");
        url.into()
    }

    /// Closes all connections; when this returns they are closed.
    #[track_caller]
    pub fn cut(&self) {
        self.order(What::Cut);
    }

    /// Refuses new connections from now on. Those that are open stay: [`cut`](Self::cut) them as well for a server that is gone.
    #[track_caller]
    pub fn refuse(&self) {
        self.order(What::Refuse);
    }

    /// Accepts new connections again.
    #[track_caller]
    pub fn accept(&self) {
        self.order(What::Accept);
    }

    /// Holds every reply back for at least this long, and for less than twice as long.
    pub fn delay(&self, delay: Duration) {
        self.faults.delay_replies(delay);
    }

    /// Holds every request back likewise, so that the server acts late.
    pub fn delay_requests(&self, delay: Duration) {
        self.faults.delay_requests(delay);
    }

    /// Loses requests: the server never sees them.
    pub fn drop_requests(&self, loss: impl Into<Loss>) {
        self.faults.drop_requests(loss.into());
    }

    /// Loses replies: the server has done what it was asked to, and the client does not learn of it.
    pub fn drop_replies(&self, loss: impl Into<Loss>) {
        self.faults.drop_replies(loss.into());
    }

    /// Switches all faults off. Connections that hang or are closed stay so.
    #[track_caller]
    pub fn heal(&self) {
        self.faults.heal();
        self.accept();
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.faults.counts()
    }

    #[track_caller]
    fn order(&self, what: What) {
        let (done, is_done) = sync_mpsc::channel();
        let sent = self.orders.as_ref().map(|orders| orders.send(Order { what, done }));
        assert!(matches!(sent, Some(Ok(()))), "the proxy's thread has ended");
        is_done.recv().expect("the proxy's thread goes on");
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // Ends the thread's loop; a panic there was reported by the thread itself.
        drop(self.orders.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What runs on the proxy's thread.
struct Core {
    address: SocketAddr,
    upstream: SocketAddr,
    faults: Arc<Faults>,
    connections: JoinSet<()>,
}

impl Core {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut listener = None;
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.obey(order.what, &mut listener).await;
                    // Whoever gave the order waits for this.
                    let _ = order.done.send(());
                }
                client = accept(listener.as_ref()) => self.connect(client),
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, what: What, listener: &mut Option<TcpListener>) {
        match what {
            What::Cut => self.connections.shutdown().await,
            What::Refuse => {
                *listener = None;
                until_refused(self.address).await;
            }
            What::Accept if listener.is_some() => {}
            What::Accept => *listener = Some(listen(self.address).await),
        }
    }

    fn connect(&mut self, client: TcpStream) {
        let (upstream, faults) = (self.upstream, Arc::clone(&self.faults));
        faults.count(|counts| counts.connections += 1);
        self.connections.spawn_local(async move {
            // Without a server there is nothing to do but close the client's connection, as the system of a server that has just died would.
            let Ok(server) = TcpStream::connect(upstream).await else { return };
            // Held-back packets would merge requests into one. Failing to switch that off costs only time.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            relay(client, server, faults).await;
        });
    }
}

/// Listens on a port that is reserved for it.
///
/// A process that is being started has copies of all that this one has open until it becomes another program, the listener that was just
/// closed among them. So the port may be taken for a moment.
async fn listen(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(Duration::from_millis(1)).await;
            }
            bound => return bound.expect("the proxy's port is reserved for it"),
        }
    }
}

/// Waits until nobody is let in any more, for the same reason.
async fn until_refused(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let is_refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    while !TcpStream::connect(address).await.is_err_and(is_refused) {
        assert!(Instant::now() < deadline, "somebody else accepts on the proxy's port");
        sleep(Duration::from_millis(1)).await;
    }
}

/// The next client, never while there is no listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending().await,
            Some(listener) => {
                // An error concerns a client that is gone again.
                if let Ok((client, _)) = listener.accept().await {
                    return client;
                }
            }
        }
    }
}
