//! Blocks of addresses, IPv4 and IPv6, and what they cover together.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// One block, such as `10.0.0.0/16` or `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr(IpNet);

impl std::str::FromStr for Cidr {
    type Err = String;

    /// Takes a block, or one address without a length.
    fn from_str(text: &str) -> Result<Self, String> {
        let block = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        block.map(|block| Cidr(block.trunc())).map_err(|_| {
            format!("{text:?} is neither an address nor a CIDR block such as 203.0.113.0/24")
        })
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Cidr {
        Cidr(address.into())
    }
}

impl Cidr {
    /// Every address of IPv4.
    pub const WORLD: Cidr = Cidr(IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));

    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    pub fn first(&self) -> IpAddr {
        self.0.network()
    }

    /// Whether the other block lies within this one.
    pub fn covers(&self, other: &Cidr) -> bool {
        self.0.contains(&other.0)
    }

    /// How many bits it fixes: of two blocks that have an address, the longer one has the word.
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    pub fn is_v6(&self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }

    /// Whether every address of it is for private use, so that the internet does not route it.
    pub fn is_private(&self) -> bool {
        const PRIVATE: [(Ipv4Addr, u8); 5] = [
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 16, 0, 0), 12),
            (Ipv4Addr::new(192, 168, 0, 0), 16),
            (Ipv4Addr::new(100, 64, 0, 0), 10),
            (Ipv4Addr::new(169, 254, 0, 0), 16),
        ];
        match self.0 {
            IpNet::V4(block) => PRIVATE.iter().any(|(address, length)| {
                block.prefix_len() >= *length && Cidr::of((*address).into(), *length).covers(self)
            }),
            IpNet::V6(block) => {
                block.prefix_len() >= 7 && block.network().segments()[0] & 0xfe00 == 0xfc00
            }
        }
    }

    fn of(address: IpAddr, length: u8) -> Cidr {
        Cidr(IpNet::new_assert(address, length).trunc())
    }

    /// Wide enough to call it the world: /0, or IPv6's whole unicast space.
    pub fn is_world(&self) -> bool {
        match self.0 {
            IpNet::V4(block) => block.prefix_len() == 0,
            IpNet::V6(block) => block.prefix_len() <= 3,
        }
    }
}

/// Joins neighbouring blocks: `0.0.0.0/1` and `128.0.0.0/1` together are the world.
pub fn together(blocks: &[Cidr]) -> Vec<Cidr> {
    let nets: Vec<IpNet> = blocks.iter().map(|cidr| cidr.0).collect();
    IpNet::aggregate(&nets).into_iter().map(Cidr).collect()
}

/// Whether every address of a block lies in one of the others, taken together.
pub fn within(block: &Cidr, others: &[Cidr]) -> bool {
    together(others).iter().any(|other| other.covers(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_what_the_internet_does_not_route() {
        let is_private = |text: &str| text.parse::<Cidr>().unwrap().is_private();
        for block in ["10.0.0.0/8", "10.1.2.3/32", "172.31.0.0/16", "100.64.0.0/16", "fd00::/8"] {
            assert!(is_private(block), "{block}");
        }
        for block in
            ["0.0.0.0/0", "10.0.0.0/7", "172.32.0.0/16", "52.94.53.1/32", "2600:1f18::/32", "::/0"]
        {
            assert!(!is_private(block), "{block}");
        }
    }
}
