//! Which arrays each tensor needs in SRAM, in which form, and in which slices.

use std::collections::BTreeMap;

use cranelift_entity::{PrimaryMap, SecondaryMap};
use isa::place::Hemisphere;
use isa::{Chip, Element};

use super::context::Context;
use super::floorplan::Floorplan;
use super::fuse::Groups;
use super::needs::{Needs, beside_weights, is_crowded, masks, needs, read_and_written, read_together};
use super::occupancy::Occupancy;
use super::spread;
use super::storage::{Frame, MaskKind, Region, Role, Storage, StorageId, Storages, Unit};
use super::tiling::{Pace, Set, Site, Weights, share};
use super::{Layout, Packing};
use crate::Precision;
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::blocks::BLOCK;
use crate::graph::{ElementType, NodeId, Op};
use crate::links::Links;

/// The forms of one tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// 32-bit, in a group of four slices.
    pub plain: Option<StorageId>,
    /// binary16, one copy in each hemisphere, for left operands of products.
    pub halves: Option<[StorageId; 2]>,
    /// Striped evenly: right operands that are computed or are states, and gather tables.
    pub striped: Option<StorageId>,
    /// Cut for the planes: constant right operands.
    pub tiles: Option<StorageId>,
    /// 32-bit, one copy in each hemisphere: indices, which go past the table in both at once. Those that choose weights have another copy for the
    /// second plane.
    pub indices: [Option<[StorageId; 2]>; 2],
    /// Striped with 32-bit elements: gather tables that binary16 would round.
    pub table: Option<StorageId>,
}

/// All arrays.
#[derive(Clone, Debug)]
pub struct Arrays {
    /// Forms by the node that a view's base is.
    pub forms: SecondaryMap<NodeId, Forms>,
    /// Lane masks: row 0 for full chunks, row 1 for the last one.
    pub masks: BTreeMap<(usize, MaskKind), StorageId>,
    /// Arrays.
    pub storages: Storages,
}

/// Decides the forms and places of all tensors.
pub fn arrays(
    context: &Context<'_>,
    groups: &Groups,
    (chip, links): (&Chip, &Links),
    (precision, Layout { spread: most, packing }): (Precision, Layout),
) -> Result<Arrays, Diagnostic> {
    let spreadable = spread::spreadable(context, most);
    let (plan, occupancy) =
        plan(context, groups, (chip, links), (precision, Layout { spread: most, packing }), &spreadable)?;
    let mut needs = needs(context, groups, (chip, &plan), precision)?;
    let crowded = packing >= Packing::Tight || is_crowded(context, &needs, (chip, &plan));
    for pace in needs.values_mut().filter_map(|need| need.tiles.as_mut()) {
        pace.crowded = crowded;
    }
    let together = read_together(context, groups);
    let apart = read_and_written(context, groups);
    let pairs = spread::Pairs::new(&plan);
    let halved = spread::halved(context, chip, most);
    let beside = beside_weights(context, &needs);
    let mut builder = Builder {
        context,
        chip,
        links,
        storages: Storages { arrays: PrimaryMap::new(), plan },
        group_use: BTreeMap::new(),
        set_use: BTreeMap::new(),
        pairs,
        single_packs: BTreeMap::new(),
        spreads: spread::spreads(context, chip, &spreadable),
        occupancy,
    };
    let mut forms: SecondaryMap<NodeId, Forms> = SecondaryMap::new();
    for node in context.graph.nodes.keys() {
        let need = needs[node];
        let mut made = Forms::default();
        let role = builder.role(node);
        if let Some(pace) = need.tiles.filter(|_| !need.striped) {
            let element = builder.operand_type(node);
            made.tiles = Some(builder.tiles(node, element, role.clone(), (&need, &pace)));
        }
        if need.striped || need.columns.is_some() {
            made.striped =
                Some(builder.striped(node, builder.operand_type(node), role.clone(), need.columns));
        }
        if need.table {
            made.table = Some(builder.table(node, role.clone(), beside[node]));
        }
        if need.halves {
            made.halves = Some(builder.halves(node, role.clone(), need.frame));
        }
        made.indices = builder.indices(node, role.clone(), need.indices);
        if need.plain || builder.arrives(node) {
            let dealt = spread::is_spread(context, chip, &spreadable, node);
            let near = [apart[node].as_slice(), together[node].as_slice()];
            made.plain = Some(builder.plain((node, role), &forms, near, (dealt, halved[node])));
        }
        forms[node] = made;
    }
    let mut arrays = Arrays { forms, masks: BTreeMap::new(), storages: builder.storages };
    for (lanes, kind) in masks(context, chip) {
        let avoid = Vec::new();
        let id = arrays.add_mask(chip, lanes, kind, &avoid);
        arrays.masks.insert((lanes, kind), id);
    }
    Ok(arrays)
}

/// The division of slices; of a roomy layout, with what it says of when arrays are alive.
fn plan(
    context: &Context<'_>,
    groups: &Groups,
    (chip, links): (&Chip, &Links),
    (precision, Layout { spread, packing }): (Precision, Layout),
    spreadable: &SecondaryMap<NodeId, bool>,
) -> Result<(Floorplan, Option<Occupancy>), Diagnostic> {
    if packing == Packing::Roomy {
        let ordinary = Layout { spread, packing: Packing::Loose };
        let ordinary = arrays(context, groups, (chip, links), (precision, ordinary))?;
        let occupancy = Occupancy::new(context, groups, chip);
        return Ok((Floorplan::new(chip, occupancy.room(&ordinary.storages))?, Some(occupancy)));
    }
    let plan = Floorplan::new(chip, spread::room(context, chip, spreadable))?;
    let plan = match packing {
        Packing::Crowded => plan.crowded(chip).ok_or_else(|| no_more_room(chip))?,
        _ => plan,
    };
    Ok((plan, None))
}

impl Arrays {
    fn add_mask(&mut self, chip: &Chip, lanes: usize, kind: MaskKind, _avoid: &[Region]) -> StorageId {
        let groups = self.storages.plan.groups;
        let number = (self.masks.len() as u16) % groups;
        let node = NodeId::from_u32(0);
        self.storages.arrays.push(Storage {
            node,
            element: Element::Mask,
            role: Role::Mask { lanes, kind },
            columns: chip.lanes,
            broadcast: false,
            chunks: 1,
            taps: 1,
            few: None,
            frame: None,
            batches: 1,
            rows: 2,
            tile_rows: 2,
            rows_per_stripe: 2,
            scattered: 0,
            choices: 1,
            units: Storage::whole(Region::Group(Hemisphere::West, number), 2, 1),
        })
    }
}

fn no_more_room(chip: &Chip) -> Diagnostic {
    let message = format!("chip {} has no slices that weights could share with other arrays", chip.name);
    Diagnostic::new(Kind::Unsupported, "does-not-fit", message)
}

/// Part of a chip's SRAM that an array may waste, so that activations have streams for themselves.
const MOST_WASTE: u64 = 32;

/// The first groups have the indices that choose weights, a copy for each plane.
const INDEX_GROUPS: u16 = 2;

/// The part of a bank that a gather table takes at most to lie in a group.
const SMALL_TABLE: u32 = 4;

struct Builder<'a, 'g> {
    context: &'a Context<'g>,
    chip: &'a Chip,
    links: &'a Links,
    storages: Storages,
    group_use: BTreeMap<Region, u32>,
    set_use: BTreeMap<Region, u64>,
    pairs: spread::Pairs,
    /// Where states of a single pack lie, by what the model calls them.
    single_packs: BTreeMap<String, Hemisphere>,
    /// Whether some arrays are dealt over several groups.
    spreads: bool,
    /// What is where when, in a roomy layout.
    occupancy: Option<Occupancy>,
}

impl Builder<'_, '_> {
    fn role(&self, node: NodeId) -> Role {
        let graph = self.context.graph;
        if self.context.constant[node] {
            return Role::Constant;
        }
        if let Some(state) = graph.states.iter().find(|state| state.input == node) {
            return Role::State(state.input_name.clone(), state.output_name.clone());
        }
        if let Op::Input(name) = &graph.nodes[node].op {
            return match self.links.arrival(name) {
                Some(_) => Role::Temporary,
                None => Role::Input(name.clone()),
            };
        }
        match graph.outputs.iter().find(|(_, output)| self.context.base(*output) == node) {
            Some((name, _)) if self.links.departure(name).is_none() => Role::Output(name.clone()),
            _ => Role::Temporary,
        }
    }

    fn arrives(&self, node: NodeId) -> bool {
        matches!(&self.context.graph.nodes[node].op, Op::Input(name) if self.links.arrival(name).is_some())
    }

    /// Where a tensor lies; for what is itself dealt over groups, where it begins.
    fn regions_of(&self, forms: &SecondaryMap<NodeId, Forms>, node: NodeId, spread: bool) -> Vec<Region> {
        let ids = forms[node].plain.into_iter().chain(forms[node].indices.into_iter().flatten().flatten());
        let most = if spread { 1 } else { usize::MAX };
        ids.flat_map(|id| self.storages.arrays[id].regions().into_iter().take(most))
            .map(|(region, _)| region)
            .collect()
    }

    fn storage(&self, node: NodeId, element: Element, role: Role) -> Storage {
        let columns = self.context.columns(node);
        let broadcast = columns == 1;
        Storage {
            node,
            element,
            role,
            columns,
            broadcast,
            chunks: if broadcast { 1 } else { columns.div_ceil(self.chip.lanes) as u32 },
            taps: 1,
            few: None,
            frame: None,
            batches: 1,
            rows: self.context.rows(node) as u32,
            tile_rows: self.context.rows(node).max(1) as u32,
            rows_per_stripe: self.context.rows(node).max(1) as u32,
            scattered: 0,
            choices: 1,
            units: Vec::new(),
        }
    }

    /// An array by batches of matrices: the second last axis is rows.
    fn matrices(&self, node: NodeId, element: Element, role: Role) -> Storage {
        let mut storage = self.storage(node, element, role);
        let shape = self.context.graph.shape(node);
        storage.rows = if shape.len() < 2 { 1 } else { shape[shape.len() - 2] as u32 };
        storage.batches = self.context.rows(node) as u32 / storage.rows.max(1);
        storage
    }

    fn word_type(&self, node: NodeId) -> Element {
        match self.context.graph.nodes[node].ty.element {
            ElementType::F32 => Element::F32,
            ElementType::I32 => Element::I32,
            ElementType::I8 => Element::I8,
            ElementType::F8 => Element::F8,
            ElementType::Bool => Element::Mask,
        }
    }

    /// So many copies of indices in each hemisphere. Those that choose weights lie where they pass small tables, too.
    fn indices(&mut self, node: NodeId, role: Role, copies: usize) -> [Option<[StorageId; 2]>; 2] {
        let last = self.storages.plan.groups - 1;
        [0, 1].map(|copy: u16| {
            let group = if copies == 1 { last } else { copy };
            (usize::from(copy) < copies).then(|| {
                Hemisphere::BOTH.map(|hemisphere| {
                    let mut storage = self.storage(node, self.word_type(node), role.clone());
                    storage.lie(Region::Group(hemisphere, group));
                    self.storages.arrays.push(storage)
                })
            })
        })
    }

    /// A gather table of reals of 32 bits, or of whole numbers: striped; or if it is small and its index chooses weights, in the emptiest of the groups past the index, which then passes
    /// it in few cycles.
    fn table(&mut self, node: NodeId, role: Role, beside_weights: bool) -> StorageId {
        // Whole numbers as reals would be subnormal numbers, or none at all.
        let element = self.word_type(node);
        let mut storage = self.storage(node, element, role.clone());
        let groups = INDEX_GROUPS..self.storages.plan.groups;
        let all = groups.flat_map(|n| Hemisphere::BOTH.map(|half| Region::Group(half, n)));
        let used = |region: &Region| self.group_use.get(region).copied().unwrap_or(0);
        let small = storage.vectors() <= self.chip.mem.words_per_bank / SMALL_TABLE;
        match all.min_by_key(|region| (used(region), *region)) {
            Some(region) if beside_weights && small => {
                storage.lie(region);
                storage.scattered = storage.batches * storage.rows;
                *self.group_use.entry(region).or_default() += 1;
                self.storages.arrays.push(storage)
            }
            _ => self.striped(node, element, role, None),
        }
    }

    /// A 32-bit array in a group of slices, or from there on: best in none that its kernel reads, nor that is read together with it (`near`). One
    /// that is `dealt` lies in all groups, one that is `halved` in both hemispheres.
    fn plain(
        &mut self,
        (node, role): (NodeId, Role),
        forms: &SecondaryMap<NodeId, Forms>,
        near: [&[NodeId]; 2],
        (dealt, halved): (bool, bool),
    ) -> StorageId {
        let mut storage = self.storage(node, self.word_type(node), role.clone());
        if let Some(occupancy) = &mut self.occupancy {
            let near = near.map(|of| of.iter().filter_map(|&other| forms[other].plain).collect());
            occupancy.groups(&self.storages, &mut storage, (self.spreads, dealt, halved), near);
            return self.storages.arrays.push(storage);
        }
        let regions = |of: &[NodeId]| {
            of.iter().flat_map(|&other| self.regions_of(forms, other, dealt)).collect::<Vec<_>>()
        };
        let [apart, together] = near.map(regions);
        let groups = self.storages.plan.groups;
        // Beside arrays that are dealt over the other groups, the last ones are for constants.
        let own = match (self.spreads, &role) {
            (false, _) => 0..groups,
            (true, Role::Constant) => groups - 1..groups,
            (true, _) => 0..groups - 1,
        };
        let of = |halves: &'static [Hemisphere]| {
            own.clone().flat_map(move |n| halves.iter().map(move |&h| Region::Group(h, n)))
        };
        let weight = |region: Region| {
            let clashes = |with: &[Region]| with.iter().filter(|&&other| other == region).count();
            (clashes(&apart), clashes(&together), self.group_use.get(&region).copied().unwrap_or(0), region)
        };
        let best = |halves| of(halves).min_by_key(|&region| weight(region)).expect("a floor plan has groups");
        let regions = match halved && !dealt {
            true => vec![best(&[Hemisphere::East]), best(&[Hemisphere::West])],
            false => vec![best(&Hemisphere::BOTH)],
        };
        for &region in &regions {
            *self.group_use.entry(region).or_default() += 1;
        }
        match regions.as_slice() {
            [first] if dealt => spread::spread_plain(&mut storage, &self.storages.plan, self.chip, *first),
            [one] => storage.lie(*one),
            both => storage.band(both),
        }
        self.storages.arrays.push(storage)
    }

    /// How a plane wants an operand: elements of eight bits as they are, others in binary16.
    fn operand_type(&self, node: NodeId) -> Element {
        let ty = &self.context.graph.nodes[node].ty;
        if ty.element.is_narrow() { self.word_type(node) } else { Element::F16 }
    }

    fn halves(&mut self, node: NodeId, role: Role, frame: Option<Frame>) -> [StorageId; 2] {
        Hemisphere::BOTH.map(|hemisphere| {
            let mut storage = self.storage(node, self.operand_type(node), role.clone());
            if let Some(frame) = frame {
                storage.enclose(frame);
            }
            match &mut self.occupancy {
                Some(occupancy) => occupancy.pairs(&self.storages, &mut storage, hemisphere),
                None => spread::spread_pairs(&mut storage, &mut self.pairs, self.chip, hemisphere),
            }
            self.storages.arrays.push(storage)
        })
    }

    /// Weights cut for the planes that multiply them.
    fn tiles(
        &mut self,
        node: NodeId,
        element: Element,
        role: Role,
        (need, pace): (&Needs, &Pace),
    ) -> StorageId {
        let mut storage = self.matrices(node, element, role);
        if let Some(places) = need.taps {
            storage.window(places);
        }
        storage.few = self.context.few(node);
        storage.rows = Storage::rows_of(storage.few, storage.rows, self.chip);
        if storage.few.is_some() {
            // Bytes, and blocks are whole.
            (storage.element, storage.columns) = (Element::I8, storage.columns.next_multiple_of(BLOCK));
        }
        let mut weights = Weights { batches: storage.batches, rows: storage.rows, chunks: storage.chunks };
        if need.chosen {
            (storage.choices, weights.batches) = (storage.batches, 1);
        }
        // The emptier sites first, so that the odd tiles of small products go there.
        let mut sites = Site::all(self.chip, storage.loaded().held());
        let words = |site: &Site, set: Set| self.set_use.get(&site.region(set)).copied().unwrap_or(0);
        let sets = (0..self.storages.plan.sets).map(Set::Number);
        let set = sets.min_by_key(|&set| sites.iter().map(|site| words(site, set)).max());
        let set = set.unwrap_or(Set::Number(0));
        sites.sort_by_key(|site| words(site, set));
        storage.units = self
            .wide(&storage, weights, pace)
            .unwrap_or_else(|| share(weights, storage.tile(self.chip), &sites, set, pace));
        // Where a stripe holds few rows, one more in each wastes much room.
        let vectors = storage.vectors() as usize * storage.element.bytes();
        let waste =
            storage.bytes(self.chip, &self.storages.plan).saturating_sub((vectors * self.chip.lanes) as u64);
        if waste > self.chip.sram_bytes() / MOST_WASTE && storage.copies() == 1 && !pace.crowded {
            let pace = Pace { crowded: true, ..*pace };
            storage.units = share(weights, storage.tile(self.chip), &sites, set, &pace);
        }
        for (region, words) in storage.regions() {
            *self.set_use.entry(region).or_default() += u64::from(words);
        }
        self.storages.arrays.push(storage)
    }

    /// Weights in the slices that a crowded plan has for them, if there is room left.
    fn wide(&self, storage: &Storage, weights: Weights, pace: &Pace) -> Option<Vec<Unit>> {
        let plan = &self.storages.plan;
        // Slices with indices cannot give weights in the same cycles.
        let indices = plan.slices(Region::Group(Hemisphere::East, INDEX_GROUPS - 1));
        let shared = plan.slices(Region::WideSet(Hemisphere::East)).start < indices.end;
        if plan.extra == 0 || storage.choices > 1 && shared {
            return None;
        }
        let set = Set::Wide;
        let pace =
            &Pace { lie: pace.lie / u32::from(plan.stripes) * u32::from(plan.stripes + plan.extra), ..*pace };
        let words = |region: Region| self.set_use.get(&region).copied().unwrap_or(0);
        let mut sites = Site::all(self.chip, storage.loaded().held());
        sites.sort_by_key(|site| words(site.region(set)));
        let units = share(weights, storage.tile(self.chip), &sites, set, pace);
        let end = |unit: &Unit| u64::from((unit.word + unit.words()) * storage.choices);
        let after = |unit: &Unit| self.wide_words(unit.region) + end(unit);
        let fit = units.iter().all(|unit| after(unit) <= self.chip.mem.words_per_bank.into());
        fit.then_some(units)
    }

    /// Words of a wide region that are taken, by arrays in it or in slices of it.
    fn wide_words(&self, region: Region) -> u64 {
        let taken = self
            .set_use
            .iter()
            .filter(|(other, _)| other.is_wide() && other.hemisphere() == region.hemisphere());
        let meet = |other: &Region| {
            let (one, other) = (self.storages.plan.slices(region), self.storages.plan.slices(*other));
            one.start < other.end && other.start < one.end
        };
        // Those of a set lie above those of its strips, wherever they are longest.
        let (sets, strips): (Vec<_>, Vec<_>) = taken
            .filter(|(other, _)| meet(other))
            .partition(|(other, _)| matches!(other, Region::WideSet(_)));
        sets.iter().map(|(_, words)| **words).sum::<u64>()
            + strips.iter().map(|(_, words)| **words).max().unwrap_or(0)
    }

    /// Rows dealt evenly to stripes, in tiles of a plane. Of a state by columns, some matrices of which share a pack, tiles are as many rows as a
    /// superlane has lanes, each in a stripe of its own, so that the vectors of one SXM instruction lie in different slices.
    fn striped(&mut self, node: NodeId, element: Element, role: Role, columns: Option<usize>) -> StorageId {
        let mut storage = self.matrices(node, element, role.clone());
        let plane = storage.rows.min(self.chip.mxm.rows.into()).max(1);
        storage.tile_rows = columns.map_or(plane, |_| self.chip.lanes_per_superlane as u32);
        let in_pack = columns.unwrap_or(1) as u32;
        // Elements that a plane holds as they are come on its own streams, all others on those of two planes.
        let planes = storage.loaded().held().streams().min(2);
        let stripes = u32::from(u16::from(planes) * self.storages.plan.stripes) / element.bytes() as u32;
        // A plane's tile leaves the last streams to activations, of binary16, where that costs no more than a cycle.
        let alone = if role != Role::Constant && storage.tile_rows > stripes {
            2u32.div_ceil(element.bytes() as u32)
        } else {
            0
        };
        storage.rows_per_stripe = storage.tile_rows.div_ceil(stripes - alone);
        // What has few rows a tile lies in bands of the stripes: the first packs of a hemisphere in the first, at the same words as others; or the
        // first units of a pack, where there are fewer packs than bands.
        let (packs, units) = (storage.batches / in_pack, in_pack * storage.tiles());
        let bands = columns.map_or(1, |_| (stripes / storage.tile_rows).clamp(1, packs.div_ceil(2)));
        let within = columns.map_or(1, |_| stripes / storage.tile_rows / bands);
        let within = (1..=within).rev().find(|&n| units.is_multiple_of(n)).unwrap_or(1);
        let mut next: BTreeMap<Region, u32> = BTreeMap::new();
        let halved = storage.batches == 1 && columns.is_none();
        let first = if packs > 1 { Hemisphere::East } else { self.single_pack(&role) };
        for index in 0..storage.batches * storage.tiles() {
            // What the host sees lies in two ranges of packs, one a hemisphere; all else in turns.
            let (batch, tile) = (index / storage.tiles(), index % storage.tiles());
            let hemisphere = match &role {
                // Of a single matrix, two ranges of its tiles.
                Role::State(..) if halved && 2 * tile >= storage.tiles() => first.other(),
                Role::State(..) | Role::Input(_) if batch / in_pack >= packs.div_ceil(2) => first.other(),
                Role::State(..) | Role::Input(_) => first,
                _ => self.emptier(&next),
            };
            let region = self.emptiest_set(
                hemisphere,
                if next.is_empty() {
                    None
                } else {
                    next.keys().copied().find(|r| r.hemisphere() == hemisphere)
                },
            );
            let row = tile * storage.tile_rows;
            let word = next.entry(region).or_default();
            let (pack, half) = (batch / in_pack, packs.div_ceil(2));
            let in_band = half.div_ceil(bands);
            let band = pack % half / in_band;
            if bands > 1 && batch % in_pack == 0 && tile == 0 && pack % half % in_band == 0 {
                *word = 0;
            }
            // Where a pack lies in several bands, its units lie side by side.
            let (at, in_one) = (index % units, units / within);
            let beside = at >= in_one && at % in_one == 0;
            if beside {
                *word -= in_one * storage.chunks * storage.rows_per_stripe;
            }
            let unit = Unit {
                region,
                stripe: (band * within + at / in_one) * storage.tile_rows,
                word: *word,
                row: batch * storage.rows + row,
                rows: storage.tile_rows.min(storage.rows - row),
                chunk: 0,
                chunks: storage.chunks,
                per_stripe: storage.rows_per_stripe,
                deal: None,
            };
            storage.units.push(unit);
            *word += unit.words();
            *self.set_use.entry(region).or_default() += u64::from(unit.words()) / u64::from(within);
        }
        if columns.is_some() && !storage.units.is_empty() {
            // Of a pack's units, as many as a bank holds.
            let (units, words) = (units / within, storage.units[0].words());
            let fit = |n: &u32| units.is_multiple_of(*n) && n * words <= self.chip.mem.words_per_bank;
            storage.scattered = words * (1..=units).rev().find(fit).unwrap_or(1);
        }
        self.storages.arrays.push(storage)
    }

    /// Where a single pack lies: with the others in one hemisphere, and beside weights that take room in the emptier one. Recent rows of a state by
    /// columns lie where it does.
    fn single_pack(&mut self, role: &Role) -> Hemisphere {
        let most = self.set_use.values().copied().max().unwrap_or(0);
        let emptier = match most > u64::from(self.chip.words_per_slice()) / 8 {
            true => self.emptier(&BTreeMap::new()),
            false => Hemisphere::East,
        };
        match role {
            Role::State(name, _) => {
                let suffixes = [super::legalize::COLUMNS, super::legalize::RECENT];
                let own = suffixes.into_iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
                *self.single_packs.entry(own.to_owned()).or_insert(emptier)
            }
            _ => emptier,
        }
    }

    /// The hemisphere with fewer words of this array, or else of all.
    fn emptier(&self, words: &BTreeMap<Region, u32>) -> Hemisphere {
        let own =
            |h: Hemisphere| words.iter().filter(|(r, _)| r.hemisphere() == h).map(|(_, n)| *n).sum::<u32>();
        let all = |h: Hemisphere| {
            self.set_use.iter().filter(|(r, _)| r.hemisphere() == h).map(|(_, n)| *n).sum::<u64>()
        };
        let [east, west] = Hemisphere::BOTH;
        if (own(west), all(west)) < (own(east), all(east)) { west } else { east }
    }

    fn emptiest_set(&self, hemisphere: Hemisphere, used: Option<Region>) -> Region {
        used.unwrap_or_else(|| {
            let sets = (0..self.storages.plan.sets).map(|n| Region::Set(hemisphere, n));
            sets.min_by_key(|set| (self.set_use.get(set).copied().unwrap_or(0), *set))
                .expect("a floor plan has sets")
        })
    }
}
