//! Blocks of addresses, IPv4 and IPv6, and what they cover together.

use std::net::IpAddr;

use ipnet::IpNet;

/// One block, such as `10.0.0.0/16` or `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr(IpNet);

impl std::str::FromStr for Cidr {
    type Err = String;

    /// Takes a block, or one address without a length.
    fn from_str(text: &str) -> Result<Self, String> {
        let block = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        block.map(|block| Cidr(block.trunc())).map_err(|_| format!("{text:?} is neither an address nor a CIDR block such as 203.0.113.0/24"))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Cidr {
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
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
