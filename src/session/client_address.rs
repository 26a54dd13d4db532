//! Who is at the other end of the connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;

use crate::app::App;

/// Header that a reverse proxy appends the address of its peer to.
const FORWARDED_FOR: &str = "X-Forwarded-For";

/// The address that a request came from. Behind trusted proxies it is the last address in `X-Forwarded-For` that is
/// not one of theirs: what stands before it anybody can write.
pub fn of(app: &App, request: &HttpRequest) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| {
            address.ip().to_canonical()
        });
    let trusted = |address: &IpAddr| {
        app.config
            .server
            .trusted_proxies
            .iter()
            .any(|network| network.contains(address))
    };
    if !trusted(&peer) {
        return peer;
    }
    let mut address = peer;
    let values = request
        .headers()
        .get_all(FORWARDED_FOR)
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    for hop in values.rsplit(',').map(str::trim) {
        // Some proxies write the port as well.
        let parsed = hop
            .parse::<IpAddr>()
            .or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip()));
        let Ok(hop) = parsed.map(|hop| hop.to_canonical()) else {
            break;
        };
        address = hop;
        if !trusted(&hop) {
            break;
        }
    }
    address
}
