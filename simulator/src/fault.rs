//! What a program can do wrong while it runs: the kind, the cycle, the place, and the instruction that did it.
//!
//! Hardware would leave every one of these undefined. Here each is an error, found in the first cycle in which it happens.

use std::fmt;

use isa::stream::{Format, Stream};
use isa::{Instruction, Page, Queue, Slice};

/// An instruction that left its queue. Everything that happens later because of it refers back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The cycle in which it left.
    pub cycle: u64,
    /// The queue it left.
    pub queue: Queue,
    /// The instruction, with the steps of its repeats applied.
    pub instruction: Instruction,
    /// Index of the model node it works for.
    pub node: u32,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// A value was put on a stream register that held one which nobody had taken.
    SlotOccupied,
    /// A value was taken from a stream register that held none.
    EmptySlot,
    /// A stream number, or the end of its group, lies past the chip's last stream.
    StreamOutOfRange,
    /// A group of streams does not start at a multiple of its size.
    MisalignedGroup,
    /// A sum was sent outward; MXM results leave on inward streams.
    WrongDirection,
    /// A read and a write used one bank of a slice in one cycle.
    BankConflict,
    /// A word, row, accumulator or lane map that the chip or the program does not have.
    AddressOutOfRange,
    /// A window of indices reaches over more than one bank.
    WindowAcrossBanks,
    /// A word was read that nothing has written.
    ReadBeforeWritten,
    /// A word was read before its last write was complete.
    WriteInFlight,
    /// An ALU operand asked for a delay that forwarding does not have.
    ForwardDelay,
    /// An ALU operand named a cycle in which that ALU did nothing.
    ForwardOfNothing,
    /// LW asked for more streams than a plane can load from in a cycle.
    TooManyLoadStreams,
    /// A weight row arrived in the buffer where one was waiting for IW.
    BufferOverwritten,
    /// IW with an empty buffer.
    WeightsNotLoaded,
    /// ABC while the array held no weights.
    WeightsNotInstalled,
    /// Weights of two formats in one buffer, activations of another format than the weights, or a sum of another format
    /// than the product added to it.
    FormatMismatch,
    /// F16 work in planes 0 and 1 met other work in plane 1.
    PairConflict,
    /// ABC while an F16 vector kept the array busy.
    MxmBusy,
    /// New weights came into the array in the middle of an F16 vector.
    ArraySwapped,
    /// A product arrived and no ACC took it.
    ProductDropped,
    /// ACC in a cycle in which no product arrived.
    NoProduct,
    /// ACC added to an accumulator that was never started.
    AccumulatorNotStarted,
    /// A lane map with an entry that its instruction cannot follow.
    BadMap,
    /// Two instructions of one queue in one cycle, or out of order.
    QueueOrder,
    /// What an Ifetch took is not the next page of its queue's text.
    WrongText,
    /// A page came into a queue that had no room for it.
    QueueOverflow,
    /// A queue came to a run whose text it did not hold.
    QueueUnderflow,
    /// A write to a word that holds instruction text.
    TextOverwritten,
    /// Send, Receive or Deskew on a link that leads nowhere.
    LinkNotConnected,
    /// Send before the link had taken the vector before.
    LinkBusy,
    /// Receive on a link that no Deskew has aligned.
    NotDeskewed,
    /// Receive while no vector that has arrived was waiting.
    NothingArrived,
    /// A vector arrived where as many were waiting as the link's end holds.
    ReceiverFull,
    /// A vector was sent that nobody received.
    LeftOnLink,
    /// Not the program's fault: two engines made different things of it ([`crate::Engine::Tandem`]).
    EnginesDiffer,
}

impl FaultKind {
    /// The kind in words, and what usually mends it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            FaultKind::SlotOccupied => (
                "value lost to another in its slot",
                "take the first one further upstream, or put one of them on another stream, or in another cycle",
            ),
            FaultKind::EmptySlot => (
                "empty slot taken",
                "nothing passes here in this cycle: check the producer's cycle, stream and direction",
            ),
            FaultKind::StreamOutOfRange => ("stream out of range", "use a stream that the chip has"),
            FaultKind::MisalignedGroup => {
                ("misaligned stream group", "start the group at a multiple of its size")
            }
            FaultKind::WrongDirection => {
                ("sum emitted outward", "emit on a stream that moves toward the VXM")
            }
            FaultKind::BankConflict => {
                ("bank conflict", "read and write different banks, or in different cycles")
            }
            FaultKind::AddressOutOfRange => {
                ("address out of range", "check the address and the steps of its repeats")
            }
            FaultKind::WindowAcrossBanks => {
                ("window across banks", "keep each window of indices within one bank")
            }
            FaultKind::ReadBeforeWritten => {
                ("read before written", "write the word first, or give it a segment or an input port")
            }
            FaultKind::WriteInFlight => {
                ("read while its write is in flight", "read d_write cycles after the write, or later")
            }
            FaultKind::ForwardDelay => {
                ("no such forwarding delay", "use a delay from d_vxm to forward_depth")
            }
            FaultKind::ForwardOfNothing => {
                ("forward of nothing", "that ALU dispatched nothing so many cycles ago: check the delay")
            }
            FaultKind::TooManyLoadStreams => ("too many load streams", "load fewer rows per LW"),
            FaultKind::BufferOverwritten | FaultKind::WeightsNotLoaded | FaultKind::WeightsNotInstalled => {
                self.words_of_weights()
            }
            FaultKind::FormatMismatch => {
                ("formats differ", "use one format for weights, activations and sums")
            }
            FaultKind::PairConflict => ("F16 pair conflict", "leave plane 1 idle while plane 0 works in F16"),
            FaultKind::MxmBusy => {
                ("array busy", "an F16 activation vector takes two cycles: dispatch ABC every second cycle")
            }
            FaultKind::ArraySwapped => {
                ("array swapped during a vector", "dispatch IW one cycle earlier or later")
            }
            FaultKind::ProductDropped => {
                ("product dropped", "dispatch an ACC in the cycle in which the product arrives")
            }
            FaultKind::NoProduct => ("no product", "dispatch ACC d_product + stagger cycles after ABC"),
            FaultKind::AccumulatorNotStarted => {
                ("accumulator not started", "begin the sum with an ACC in mode Start")
            }
            FaultKind::BadMap => ("lane map does not fit", "check the map's entries"),
            FaultKind::QueueOrder => {
                ("queue out of order", "dispatch cycles must strictly increase within a queue")
            }
            FaultKind::WrongText
            | FaultKind::QueueOverflow
            | FaultKind::QueueUnderflow
            | FaultKind::TextOverwritten => self.words_of_text(),
            FaultKind::LinkNotConnected
            | FaultKind::LinkBusy
            | FaultKind::NotDeskewed
            | FaultKind::NothingArrived
            | FaultKind::ReceiverFull
            | FaultKind::LeftOnLink => self.words_of_links(),
            FaultKind::EnginesDiffer => {
                ("engines differ", "this is a bug in the simulator: please report it with the program")
            }
        }
    }

    /// The same, of weights.
    fn words_of_weights(self) -> (&'static str, &'static str) {
        if self == FaultKind::BufferOverwritten {
            ("weight row overwritten", "install the buffer before its rows are loaded again")
        } else if self == FaultKind::WeightsNotLoaded {
            ("weights not loaded", "dispatch IW d_load cycles after the tile's last LW, or later")
        } else {
            ("weights not installed", "dispatch ABC d_install cycles after IW, or later")
        }
    }

    /// The same, of links.
    fn words_of_links(self) -> (&'static str, &'static str) {
        if self == FaultKind::LinkBusy {
            ("link busy", "dispatch Send vector_cycles after the link's last one, or later")
        } else if self == FaultKind::NotDeskewed {
            ("link not deskewed", "dispatch a Deskew before the link's first Receive")
        } else if self == FaultKind::NothingArrived {
            ("nothing has arrived", "dispatch Receive latency_cycles after the other chip's Send, or later")
        } else if self == FaultKind::ReceiverFull {
            ("receiver full", "receive earlier, or send later")
        } else if self == FaultKind::LeftOnLink {
            ("vector left on a link", "dispatch as many Receives as the other chip dispatches Sends")
        } else {
            ("link not connected", "a program of one chip has no links")
        }
    }

    /// The same, of instruction text.
    fn words_of_text(self) -> (&'static str, &'static str) {
        if self == FaultKind::WrongText {
            let mend = "read the queue's pages in their order, so that they pass its slice at Ifetch";
            ("wrong instruction text", mend)
        } else if self == FaultKind::QueueOverflow {
            ("queue too full", "fetch the page later, when more instructions have left the queue")
        } else if self == FaultKind::QueueUnderflow {
            let mend = "fetch the page earlier: a run's text must be there when the run before it has left";
            ("queue too empty", mend)
        } else {
            ("instruction text overwritten", "write to words that hold no text")
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().0)
    }
}

/// Where it happened: a queue, or a bank of the queue's MEM slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The queue whose instruction did it.
    pub queue: Queue,
    /// The bank, where one is to blame.
    pub bank: Option<u8>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bank {
            Some(bank) => write!(f, "{}.bank{bank}", self.queue.slice()),
            None => write!(f, "{}", self.queue),
        }
    }
}

/// The first thing that went wrong: of the earliest cycle, and within it of the lowest place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// When it happened, which may be later than its instruction's dispatch.
    pub cycle: u64,
    /// Where.
    pub place: Place,
    /// The instruction that did it.
    pub instruction: Instruction,
    /// The cycle in which that instruction left its queue.
    pub dispatched: u64,
    /// The model node it works for; may be empty.
    pub node: String,
    /// The particulars: which stream, word, row, and who else was there.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, hint) = self.kind.words();
        writeln!(f, "{what} in cycle {} at {}: {}", self.cycle, self.place, self.detail)?;
        write!(f, "  instruction `{}`, dispatched in cycle {}", self.instruction, self.dispatched)?;
        if !self.node.is_empty() {
            write!(f, ", for node `{}`", self.node)?;
        }
        write!(f, "\n  hint: {hint}")
    }
}

impl std::error::Error for Fault {}

/// A fault as the slices raise it, before the machine looks up the node's name.
#[derive(Clone, Debug)]
pub(crate) struct Raised {
    pub(crate) kind: FaultKind,
    pub(crate) cycle: u64,
    pub(crate) bank: Option<u8>,
    pub(crate) by: Dispatch,
    pub(crate) detail: String,
}

impl Raised {
    /// Cycle, then place, then kind: the order in which faults are reported.
    pub(crate) fn key(&self) -> (u64, Place, FaultKind) {
        (self.cycle, Place { queue: self.by.queue, bank: self.bank }, self.kind)
    }

    /// The fault as the user sees it, with the name of its node.
    pub(crate) fn named(self, nodes: &[String]) -> Fault {
        Fault {
            kind: self.kind,
            cycle: self.cycle,
            place: Place { queue: self.by.queue, bank: self.bank },
            instruction: self.by.instruction,
            dispatched: self.by.cycle,
            node: nodes.get(self.by.node as usize).cloned().unwrap_or_default(),
            detail: self.detail,
        }
    }
}

impl Dispatch {
    /// A fault in the cycle of the dispatch itself.
    pub(crate) fn fault(&self, kind: FaultKind, detail: impl Into<String>) -> Raised {
        self.fault_in(self.cycle, kind, detail)
    }

    /// A fault in a later cycle.
    pub(crate) fn fault_in(&self, cycle: u64, kind: FaultKind, detail: impl Into<String>) -> Raised {
        Raised { kind, cycle, bank: None, by: *self, detail: detail.into() }
    }
}

/// What both simulators say, in one place each.
impl Dispatch {
    pub(crate) fn steps_lead_out(&self) -> Raised {
        self.fault(FaultKind::AddressOutOfRange, "the steps of the repeats lead below 0 or too far up")
    }

    pub(crate) fn empty_slot(&self, stream: Stream, position: i32) -> Raised {
        self.fault(FaultKind::EmptySlot, format!("{stream} is empty at position {position}"))
    }

    /// A put in cycle `cycle` where the value of `holder` is, dispatched in cycle `dispatched`, which nobody has taken.
    pub(crate) fn slot_occupied(
        &self,
        cycle: u64,
        (stream, position): (Stream, i32),
        (holder, dispatched): (Queue, u64),
    ) -> Raised {
        let place = Place { queue: holder, bank: None };
        let detail = format!(
            "{stream} at position {position} holds the value of {place}, dispatched in cycle {dispatched}, which nobody has taken"
        );
        self.fault_in(cycle, FaultKind::SlotOccupied, detail)
    }

    pub(crate) fn no_word(&self, address: u64, words: u32) -> Raised {
        self.fault(FaultKind::AddressOutOfRange, format!("word {address} of a slice of {words} words"))
    }

    pub(crate) fn window_across(&self, first: u32, last: u64, words_per_bank: u32) -> Raised {
        let detail = format!("words {first} to {last}, in banks of {words_per_bank} words");
        self.fault(FaultKind::WindowAcrossBanks, detail)
    }

    pub(crate) fn bank_conflict(&self, bank: u32) -> Raised {
        let detail = format!("a read and a write of bank {bank} in one cycle");
        Raised { bank: Some(bank as u8), ..self.fault(FaultKind::BankConflict, detail) }
    }

    pub(crate) fn write_in_flight(&self, word: u32, bank: u32, ready: u64) -> Raised {
        let detail = format!("word {word} can be read from cycle {ready} on");
        Raised { bank: Some(bank as u8), ..self.fault(FaultKind::WriteInFlight, detail) }
    }

    pub(crate) fn holds_nothing(&self, word: u32, bank: u32) -> Raised {
        let detail = format!("word {word} holds nothing");
        Raised { bank: Some(bank as u8), ..self.fault(FaultKind::ReadBeforeWritten, detail) }
    }

    pub(crate) fn wrong_text(&self, cycle: u64, index: usize, page: &Page, word: u32) -> Raised {
        let slice = Slice::Mem(page.hemisphere, page.slice);
        let detail =
            format!("word {word} of {slice}, of page {index} of the queue's text, is what should pass");
        self.fault_in(cycle, FaultKind::WrongText, detail)
    }

    pub(crate) fn queue_overflow(&self, cycle: u64, held: u64, capacity: u64) -> Raised {
        let detail = format!("{held} bytes of text, and the queue holds {capacity}");
        self.fault_in(cycle, FaultKind::QueueOverflow, detail)
    }

    pub(crate) fn queue_underflow(&self, cycle: u64, needs: u64, arrived: u64) -> Raised {
        let detail = format!("needs the queue's text up to byte {needs}, and {arrived} have come");
        self.fault_in(cycle, FaultKind::QueueUnderflow, detail)
    }

    pub(crate) fn text_overwritten(&self, word: u32) -> Raised {
        self.fault(FaultKind::TextOverwritten, format!("word {word} holds text"))
    }

    pub(crate) fn link_busy(&self, free: u64) -> Raised {
        self.fault(FaultKind::LinkBusy, format!("the link takes the next vector from cycle {free} on"))
    }

    pub(crate) fn not_deskewed(&self) -> Raised {
        self.fault(FaultKind::NotDeskewed, "no Deskew was dispatched on this link before")
    }

    pub(crate) fn nothing_arrived(&self) -> Raised {
        self.fault(FaultKind::NothingArrived, "no vector waits at this end of the link")
    }

    /// The vector of this Send arrives in cycle `cycle`, as one too many.
    pub(crate) fn receiver_full(&self, cycle: u64, buffer_vectors: u32) -> Raised {
        let detail = format!("its vector arrives where {buffer_vectors} are waiting, and no more can");
        self.fault_in(cycle, FaultKind::ReceiverFull, detail)
    }

    /// The vector of this Send arrives in cycle `cycle`, and then nobody receives it.
    pub(crate) fn left_on_link(&self, cycle: u64) -> Raised {
        self.fault_in(cycle, FaultKind::LeftOnLink, "its vector arrives, and no Receive takes it")
    }

    pub(crate) fn forward_delay(&self, delay: u64, least: u64, most: u64) -> Raised {
        let detail = format!("delay {delay}, where {least} to {most} are possible");
        self.fault(FaultKind::ForwardDelay, detail)
    }

    pub(crate) fn no_alu(&self, alu: u8, alus: usize) -> Raised {
        self.fault(FaultKind::AddressOutOfRange, format!("ALU {alu} of {alus}"))
    }

    pub(crate) fn forward_of_nothing(&self, alu: u8, delay: u64) -> Raised {
        let detail = format!("ALU {alu} dispatched nothing {delay} cycles before");
        self.fault(FaultKind::ForwardOfNothing, detail)
    }

    pub(crate) fn pair_taken(&self) -> Raised {
        self.fault(FaultKind::PairConflict, "plane 0 works in F16, which takes plane 1 too")
    }

    pub(crate) fn pair_working(&self) -> Raised {
        self.fault(FaultKind::PairConflict, "plane 1 holds rows or products of its own")
    }

    pub(crate) fn too_many_load_streams(&self, streams: usize, most: usize) -> Raised {
        let detail = format!("{streams} streams, and {most} can be loaded from");
        self.fault(FaultKind::TooManyLoadStreams, detail)
    }

    pub(crate) fn array_busy(&self) -> Raised {
        self.fault(FaultKind::MxmBusy, "the F16 vector of the cycle before is still entering")
    }

    pub(crate) fn no_weights(&self) -> Raised {
        self.fault(FaultKind::WeightsNotInstalled, "the array holds no weights in this cycle")
    }

    pub(crate) fn activations_differ(&self, activations: Format, weights: Format) -> Raised {
        self.fault(FaultKind::FormatMismatch, format!("{activations} activations, {weights} weights"))
    }

    pub(crate) fn no_product(&self) -> Raised {
        self.fault(FaultKind::NoProduct, "no product arrives in this cycle")
    }

    pub(crate) fn emits_outward(&self) -> Raised {
        self.fault(FaultKind::WrongDirection, "the stream leads away from the VXM")
    }

    pub(crate) fn no_accumulator(&self, address: u16, count: usize) -> Raised {
        self.fault(FaultKind::AddressOutOfRange, format!("accumulator {address} of {count}"))
    }

    pub(crate) fn not_started(&self, address: u16) -> Raised {
        let detail = format!("accumulator {address} holds nothing to add to");
        self.fault(FaultKind::AccumulatorNotStarted, detail)
    }

    pub(crate) fn sums_differ(&self, address: u16) -> Raised {
        let detail = format!("accumulator {address} holds sums of the other format");
        self.fault(FaultKind::FormatMismatch, detail)
    }

    pub(crate) fn product_dropped(&self, cycle: u64) -> Raised {
        let detail = "the product of this ABC arrives, and no ACC takes it";
        self.fault_in(cycle, FaultKind::ProductDropped, detail)
    }

    pub(crate) fn empty_buffer(&self) -> Raised {
        self.fault(FaultKind::WeightsNotLoaded, "the buffer is empty")
    }

    pub(crate) fn array_swapped(&self, cycle: u64) -> Raised {
        self.fault_in(cycle, FaultKind::ArraySwapped, "an F16 vector is half way in")
    }

    pub(crate) fn rows_differ(&self, cycle: u64, rows: Format, buffer: Format) -> Raised {
        let detail = format!("{rows} rows join {buffer} rows in the buffer");
        self.fault_in(cycle, FaultKind::FormatMismatch, detail)
    }

    pub(crate) fn no_row(&self, cycle: u64, row: usize, rows: u16) -> Raised {
        self.fault_in(cycle, FaultKind::AddressOutOfRange, format!("weight row {row} of {rows}"))
    }

    pub(crate) fn row_overwritten(&self, cycle: u64, row: usize) -> Raised {
        let detail = format!("row {row} was loaded already, and not installed");
        self.fault_in(cycle, FaultKind::BufferOverwritten, detail)
    }
}
