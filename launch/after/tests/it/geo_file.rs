//! A MaxMind DB file of a few networks, written after MaxMind DB File Format Specification v2.0.

/// 1.0.0.0/8 is in Shanghai, 2.0.0.0/8 in a zone that is none, 3.0.0.0/8 in a place without one; IPv4 only.
pub fn geo_file() -> Vec<u8> {
    let mut data = Vec::new();
    let mut place = |zone: Option<&str>| {
        let at = data.len();
        let location = zone.map(|zone| [map(1), string("time_zone"), string(zone)].concat());
        data.extend(match location {
            Some(location) => [map(1), string("location"), location].concat(),
            None => map(0),
        });
        at
    };
    let networks = [
        (1_u8, place(Some("Asia/Shanghai"))),
        (2, place(Some("Mars/Base"))),
        (3, place(None)),
    ];

    // A binary tree over the first eight bits; a record is a node, the number of nodes (nothing), or data.
    let mut nodes: Vec<[Option<Record>; 2]> = vec![[None, None]];
    for (first, at) in networks {
        let mut node = 0;
        for bit in (0..8).rev() {
            let side = usize::from(first >> bit & 1);
            if bit == 0 {
                nodes[node][side] = Some(Record::Data(at));
            } else if let Some(Record::Node(next)) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None, None]);
                let next = nodes.len() - 1;
                nodes[node][side] = Some(Record::Node(next));
                node = next;
            }
        }
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match record {
            None => nodes.len(),
            Some(Record::Node(next)) => *next,
            // Sixteen zero bytes stand between tree and data.
            Some(Record::Data(at)) => nodes.len() + 16 + at,
        };
        file.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let metadata = [
        map(9),
        [string("binary_format_major_version"), unsigned(5, 2)].concat(),
        [string("binary_format_minor_version"), unsigned(5, 0)].concat(),
        [
            string("build_epoch"),
            vec![0x04, 0x02],
            1_795_356_000_u32.to_be_bytes().to_vec(),
        ]
        .concat(),
        [string("database_type"), string("Test-City")].concat(),
        [string("description"), map(0)].concat(),
        [string("ip_version"), unsigned(5, 4)].concat(),
        [string("languages"), vec![0x00, 0x04]].concat(),
        [string("node_count"), unsigned(6, nodes.len() as u8)].concat(),
        [string("record_size"), unsigned(5, 24)].concat(),
    ];
    file.extend(metadata.concat());
    file
}

#[derive(Clone, Copy)]
enum Record {
    Node(usize),
    Data(usize),
}

/// Type 7, up to 28 entries.
fn map(entries: u8) -> Vec<u8> {
    vec![7 << 5 | entries]
}

/// Type 2, up to 28 bytes.
fn string(text: &str) -> Vec<u8> {
    assert!(text.len() < 29);
    [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
}

/// Types 5 (16 bits) and 6 (32 bits), in one byte.
fn unsigned(kind: u8, value: u8) -> Vec<u8> {
    vec![kind << 5 | 1, value]
}
