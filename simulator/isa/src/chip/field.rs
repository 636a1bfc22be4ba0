//! The table of a description's fields: name, unit, range, and how to reach the field in a [`Chip`].

use crate::stream::Format;

use super::{C2cUnits, Chip, IcuUnits, Latency, MemUnits, MxmUnits, SxmUnits, VxmUnits};

/// One field of a description file.
pub(super) struct Field {
    /// Dotted name, as in the file.
    pub(super) name: &'static str,
    /// Unit of the value.
    pub(super) unit: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
}

/// What a field's value is.
pub(super) enum Kind {
    /// A number.
    Number(Number),
    /// The formats of the matrix planes, a list of names.
    Formats,
}

/// A field that is a number.
pub(super) struct Number {
    /// Least value allowed.
    pub(super) least: f64,
    /// Greatest value allowed.
    pub(super) most: f64,
    /// Reads the field.
    get: fn(&Chip) -> f64,
    /// Writes the field; the value is in range, and whole unless it is the clock.
    pub(super) set: fn(&mut Chip, f64),
}

impl Field {
    /// Whether fractions make sense: only the clock is a measured quantity.
    pub(super) fn whole(&self) -> bool {
        self.unit != "Hz"
    }

    /// Gives a chip the value that another has.
    pub(super) fn copy(&self, from: &Chip, to: &mut Chip) {
        match &self.kind {
            Kind::Number(number) => (number.set)(to, (number.get)(from)),
            Kind::Formats => to.mxm.formats.clone_from(&from.mxm.formats),
        }
    }

    /// The value with its unit, for people.
    pub(super) fn amount(&self, chip: &Chip) -> String {
        match &self.kind {
            Kind::Number(number) => format!("{} {}", (number.get)(chip), self.unit),
            Kind::Formats => chip.mxm.formats.iter().copied().map(format_name).collect::<Vec<_>>().join(", "),
        }
    }

    /// What a file must give, in words.
    pub(super) fn wanted(&self) -> String {
        match self.kind {
            Kind::Number(_) => format!("a number of {}", self.unit),
            Kind::Formats => format!("a list of {}, of {}", self.unit, format_names()),
        }
    }
}

/// How a description names a format of the planes.
pub(super) fn format_name(format: Format) -> String {
    format.to_string().to_uppercase()
}

/// All names of formats of weights that planes may load.
pub(super) fn format_names() -> String {
    Format::OF_WEIGHTS.map(format_name).join(", ")
}

macro_rules! fields {
    ($($name:literal $unit:literal $($least:literal to $most:literal => $($path:ident).+)?;)*) => {
        &[$(Field { name: $name, unit: $unit, kind: kind!($($least $most $($path).+)?) }),*]
    };
}

/// A field without a range is the list of formats.
macro_rules! kind {
    () => {
        Kind::Formats
    };
    ($least:literal $most:literal $($path:ident).+) => {
        Kind::Number(Number {
            least: $least as f64,
            most: $most as f64,
            get: |chip| chip.$($path).+ as f64,
            set: |chip, value| chip.$($path).+ = value as _,
        })
    };
}

/// Every field, in the order in which people read them.
pub(super) const FIELDS: &[Field] = fields! {
    "clock_hz" "Hz" 1e6 to 1e11 => clock_hz;
    "lanes" "lanes" 4 to 4096 => lanes;
    "lanes_per_superlane" "lanes" 1 to 64 => lanes_per_superlane;
    "streams" "streams per direction" 16 to 252 => streams;
    "mem.slices_per_hemisphere" "slices" 1 to 1024 => mem.slices_per_hemisphere;
    "mem.banks" "banks per slice" 1 to 16 => mem.banks;
    "mem.words_per_bank" "words" 1 to 1048576 => mem.words_per_bank;
    "mxm.planes_per_hemisphere" "planes" 2 to 2 => mxm.planes_per_hemisphere;
    "mxm.rows" "rows" 1 to 4096 => mxm.rows;
    "mxm.load_streams_per_plane" "streams" 2 to 252 => mxm.load_streams_per_plane;
    "mxm.accumulators" "vectors per plane" 1 to 65535 => mxm.accumulators;
    "mxm.formats" "formats";
    "vxm.alus" "ALUs per lane" 1 to 64 => vxm.alus;
    "vxm.forward_depth" "cycles" 1 to 255 => vxm.forward_depth;
    "sxm.queues_per_hemisphere" "queues" 1 to 64 => sxm.queues_per_hemisphere;
    "c2c.links_per_hemisphere" "links" 0 to 128 => c2c.links_per_hemisphere;
    "icu.queue_bytes" "bytes per queue" 256 to 1073741824 => icu.queue_bytes;
    "icu.fetch_vectors" "vectors" 1 to 16 => icu.fetch_vectors;
    "latency.read" "cycles" 1 to 10000 => latency.read;
    "latency.write" "cycles" 1 to 10000 => latency.write;
    "latency.gather" "cycles" 1 to 10000 => latency.gather;
    "latency.vxm" "cycles" 1 to 255 => latency.vxm;
    "latency.load" "cycles" 1 to 10000 => latency.load;
    "latency.install" "cycles" 1 to 10000 => latency.install;
    "latency.product" "cycles" 1 to 10000 => latency.product;
    "latency.accumulate" "cycles" 1 to 10000 => latency.accumulate;
    "latency.sxm" "cycles" 1 to 10000 => latency.sxm;
    "latency.c2c" "cycles" 1 to 10000 => latency.c2c;
};

/// The tables that fields stand in.
pub(super) const TABLES: &[&str] = &["mem", "mxm", "vxm", "sxm", "c2c", "icu", "latency"];

/// The field of this name.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// A chip of zeros, to be filled in.
pub(super) fn blank(name: &str) -> Chip {
    Chip {
        name: name.to_string(),
        clock_hz: 0.0,
        lanes: 0,
        lanes_per_superlane: 0,
        streams: 0,
        mem: MemUnits { slices_per_hemisphere: 0, banks: 0, words_per_bank: 0 },
        mxm: MxmUnits {
            planes_per_hemisphere: 0,
            rows: 0,
            load_streams_per_plane: 0,
            accumulators: 0,
            formats: Vec::new(),
        },
        vxm: VxmUnits { alus: 0, forward_depth: 0 },
        sxm: SxmUnits { queues_per_hemisphere: 0 },
        c2c: C2cUnits { links_per_hemisphere: 0 },
        icu: IcuUnits { queue_bytes: 0, fetch_vectors: 0 },
        latency: Latency {
            read: 0,
            write: 0,
            gather: 0,
            vxm: 0,
            load: 0,
            install: 0,
            product: 0,
            accumulate: 0,
            sxm: 0,
            c2c: 0,
        },
        sources: Default::default(),
    }
}
