//! A MEM slice: two banks of SRAM, a read port and a write port, and accesses by index.

use std::collections::VecDeque;

use isa::Chip;
use isa::instruction::{Mem, Window};
use isa::stream::{Format, Stream};

use super::sram::Sram;
use crate::event::{Event, Watch};
use crate::fault::{Dispatch, Raised};
use crate::image::Image;
use crate::stream::{Output, Pipeline, Registers};

/// One slice.
#[derive(Clone)]
pub(crate) struct MemSlice {
    pub(crate) sram: Sram,
    position: i32,
    lanes: usize,
    lanes_per_superlane: usize,
    words_per_bank: u32,
    read_cycles: u64,
    gather_cycles: u64,
    write_cycles: u64,
    /// Words on their way to the streams.
    reading: Pipeline<Output>,
    gathering: Pipeline<Output>,
    /// Writes that are not complete: the word, and the cycle from which it can be read.
    writing: VecDeque<(u64, u32)>,
    /// Cycle and bank of the last use of the read port.
    last_read: Option<(u64, u32)>,
    /// No word was read, or partly overwritten, whose values nobody brought.
    pub(crate) values_known: bool,
}

impl MemSlice {
    /// A slice at `position`.
    pub(crate) fn new(chip: &Chip, position: i32, image: Image) -> MemSlice {
        MemSlice {
            sram: Sram::new(chip, image),
            position,
            lanes: chip.lanes,
            lanes_per_superlane: chip.lanes_per_superlane,
            words_per_bank: chip.mem.words_per_bank,
            read_cycles: chip.latency.read.into(),
            gather_cycles: chip.latency.gather.into(),
            write_cycles: chip.latency.write.into(),
            reading: Pipeline::new(),
            gathering: Pipeline::new(),
            writing: VecDeque::new(),
            last_read: None,
            values_known: true,
        }
    }

    /// Ready for the next run: SRAM stays, what was under way is forgotten.
    pub(crate) fn restart(&mut self) {
        self.reading = Pipeline::new();
        self.gathering = Pipeline::new();
        self.writing.clear();
        self.last_read = None;
        self.values_known = true;
    }

    /// Nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.reading.is_empty() && self.gathering.is_empty() && self.writing.is_empty()
    }

    /// Words that arrive at the streams in `cycle`, and writes that complete. Says whether there was any.
    pub(crate) fn put_reads(
        &mut self,
        cycle: u64,
        registers: &mut Registers,
        faults: &mut Vec<Raised>,
    ) -> bool {
        let mut any = false;
        while self.writing.front().is_some_and(|(ready, _)| *ready <= cycle) {
            self.writing.pop_front();
            any = true;
        }
        while let Some(output) = self.reading.arrive(cycle) {
            faults.extend(registers.put(cycle, self.position, &output).err());
            any = true;
        }
        any
    }

    /// Gathered words that arrive at the streams in `cycle`. They come after all other puts, which they may join.
    pub(crate) fn put_gathers(
        &mut self,
        cycle: u64,
        registers: &mut Registers,
        faults: &mut Vec<Raised>,
    ) -> bool {
        let mut any = false;
        while let Some(output) = self.gathering.arrive(cycle) {
            faults.extend(registers.put(cycle, self.position, &output).err());
            any = true;
        }
        any
    }

    /// Does what an instruction does at its dispatch.
    pub(crate) fn dispatch(
        &mut self,
        by: &Dispatch,
        mem: Mem,
        registers: &Registers,
        watch: Watch<'_>,
    ) -> Result<(), Raised> {
        match mem {
            Mem::Read { address, stream } => self.read(by, address, stream, registers),
            Mem::Write { address, stream } => self.write(by, address, stream, registers, watch),
            Mem::Gather { window, index, stream } => self.gather(by, window, index, stream, registers),
            Mem::Scatter { window, index, stream } => {
                self.scatter(by, window, index, stream, registers, watch)
            }
        }
    }

    fn read(
        &mut self,
        by: &Dispatch,
        address: u32,
        stream: Stream,
        registers: &Registers,
    ) -> Result<(), Raised> {
        registers.check(by, stream, 1, 1)?;
        self.use_read_port(by, address)?;
        self.check_readable(by, address, self.sram.all_superlanes())?;
        let mut bytes = vec![0; self.lanes];
        self.values_known &= self.sram.read(address, 0, &mut bytes);
        self.reading.send(by.cycle + self.read_cycles, Output { by: *by, stream, bytes, merge: false });
        Ok(())
    }

    fn write(
        &mut self,
        by: &Dispatch,
        address: u32,
        stream: Stream,
        registers: &Registers,
        watch: Watch<'_>,
    ) -> Result<(), Raised> {
        self.use_write_port(by, address, address.into())?;
        let value = registers.take(by, stream, 1, self.position)?;
        let all = self.sram.all_superlanes();
        self.sram.write(address, all, value);
        watch(&event(by, address, all, value));
        self.writing.push_back((by.cycle + self.write_cycles, address));
        Ok(())
    }

    fn gather(
        &mut self,
        by: &Dispatch,
        window: Window,
        index: Stream,
        stream: Stream,
        registers: &Registers,
    ) -> Result<(), Raised> {
        registers.check(by, stream, 1, 1)?;
        self.check_window(by, window)?;
        self.use_read_port(by, window.base)?;
        let index = registers.take_group(by, index, Format::I32, self.position)?;
        let mut bytes = vec![0; self.lanes];
        for (superlane, part) in bytes.chunks_mut(self.lanes_per_superlane).enumerate() {
            if let Some(address) = owned(window, index, self.lanes, superlane * self.lanes_per_superlane) {
                self.check_readable(by, address, 1 << superlane)?;
                self.values_known &= self.sram.read(address, superlane * self.lanes_per_superlane, part);
            }
        }
        self.gathering.send(by.cycle + self.gather_cycles, Output { by: *by, stream, bytes, merge: true });
        Ok(())
    }

    fn scatter(
        &mut self,
        by: &Dispatch,
        window: Window,
        index: Stream,
        stream: Stream,
        registers: &Registers,
        watch: Watch<'_>,
    ) -> Result<(), Raised> {
        let last = self.check_window(by, window)?;
        self.use_write_port(by, window.base, last)?;
        let index = registers.take_group(by, index, Format::I32, self.position)?;
        let value = registers.take(by, stream, 1, self.position)?;
        for (superlane, part) in value.chunks(self.lanes_per_superlane).enumerate() {
            if let Some(address) = owned(window, index, self.lanes, superlane * self.lanes_per_superlane) {
                self.values_known &= self.sram.write(address, 1 << superlane, value);
                watch(&event(by, address, 1 << superlane, part));
                self.writing.push_back((by.cycle + self.write_cycles, address));
            }
        }
        // A scatter that owned nothing takes its time all the same.
        self.writing.push_back((by.cycle + self.write_cycles, u32::MAX));
        Ok(())
    }

    /// All of a window's words must be in the slice, and in one bank. Its last word.
    fn check_window(&self, by: &Dispatch, window: Window) -> Result<u64, Raised> {
        let last =
            u64::from(window.base) + u64::from(window.count.saturating_sub(1)) * u64::from(window.stride);
        if last >= u64::from(self.sram.words()) {
            return Err(by.no_word(last, self.sram.words()));
        }
        if window.base / self.words_per_bank != last as u32 / self.words_per_bank {
            return Err(by.window_across(window.base, last, self.words_per_bank));
        }
        Ok(last)
    }

    fn use_read_port(&mut self, by: &Dispatch, address: u32) -> Result<(), Raised> {
        if address >= self.sram.words() {
            return Err(by.no_word(address.into(), self.sram.words()));
        }
        self.last_read = Some((by.cycle, address / self.words_per_bank));
        Ok(())
    }

    /// The read queue stands before the write queue, so the read of this cycle is known here.
    fn use_write_port(&mut self, by: &Dispatch, address: u32, last: u64) -> Result<(), Raised> {
        if address >= self.sram.words() {
            return Err(by.no_word(address.into(), self.sram.words()));
        }
        if let Some(word) = self.sram.text_in(address, last) {
            return Err(by.text_overwritten(word));
        }
        let bank = address / self.words_per_bank;
        if self.last_read == Some((by.cycle, bank)) {
            return Err(by.bank_conflict(bank));
        }
        Ok(())
    }

    fn check_readable(&self, by: &Dispatch, address: u32, superlanes: u64) -> Result<(), Raised> {
        let bank = address / self.words_per_bank;
        if let Some((ready, _)) = self.writing.iter().rev().find(|(_, word)| *word == address) {
            return Err(by.write_in_flight(address, bank, *ready));
        }
        if self.sram.present(address) & superlanes != superlanes {
            return Err(by.holds_nothing(address, bank));
        }
        Ok(())
    }
}

fn event<'a>(by: &Dispatch, word: u32, superlanes: u64, value: &'a [u8]) -> Event<'a> {
    let (queue, slice) = (by.queue, by.queue.slice());
    Event { cycle: by.cycle, queue, node: by.node, slice, word, superlanes, value }
}

/// The word that the index at `lane` names, if the window owns that index. `index` holds four vectors, least significant bytes first.
fn owned(window: Window, index: &[u8], lanes: usize, lane: usize) -> Option<u32> {
    let index = i32::from_le_bytes([
        index[lane],
        index[lanes + lane],
        index[2 * lanes + lane],
        index[3 * lanes + lane],
    ]);
    let offset = u32::try_from(i64::from(index) - i64::from(window.first)).ok()?;
    (offset < window.count).then(|| window.base + offset * window.stride)
}
