//! Which arrays each tensor needs in SRAM, in which form, and in which slices.

use std::collections::BTreeMap;

use cranelift_entity::{PrimaryMap, SecondaryMap};
use isa::place::Hemisphere;
use isa::{Chip, Element};

use super::alu::is_pointwise;
use super::context::{Context, is_f16};
use super::conv;
use super::floorplan::Floorplan;
use super::fuse::{Groups, program, users};
use super::legalize::appends_columns;
use super::spread;
use super::storage::{Frame, MaskKind, Region, Role, Storage, StorageId, Storages, Unit};
use super::tiling::{Pace, Site, Weights, share};
use crate::Precision;
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{ElementType, NodeId, Op, ReduceOp};

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
    /// 32-bit, one copy in each hemisphere: indices, which go past the table in both at once.
    pub indices: Option<[StorageId; 2]>,
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

/// What the consumers of a base ask for.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    plain: bool,
    halves: bool,
    striped: bool,
    /// A state by columns: matrices that share a pack.
    columns: Option<usize>,
    tiles: Option<Pace>,
    /// Places of the window whose weights these are.
    taps: Option<u32>,
    /// Zeros around the images that a left operand is.
    frame: Option<Frame>,
    indices: bool,
    table: bool,
}

/// Decides the forms and places of all tensors.
pub fn arrays(
    context: &Context<'_>,
    groups: &Groups,
    chip: &Chip,
    (precision, spread): (Precision, bool),
) -> Result<Arrays, Diagnostic> {
    let spreadable = spread::spreadable(context, spread);
    let plan = Floorplan::new(chip, spread::room(context, chip, &spreadable))?;
    let needs = needs(context, groups, (chip, &plan), precision)?;
    let together = read_together(context, groups)?;
    let apart = read_and_written(context, groups)?;
    let pairs = spread::Pairs::new(&plan);
    let mut builder = Builder {
        context,
        chip,
        storages: Storages { arrays: PrimaryMap::new(), plan },
        group_use: BTreeMap::new(),
        set_use: BTreeMap::new(),
        pairs,
        spreads: spread::spreads(context, chip, &spreadable),
    };
    let mut forms: SecondaryMap<NodeId, Forms> = SecondaryMap::new();
    for node in context.graph.nodes.keys() {
        let need = needs[node];
        let mut made = Forms::default();
        let role = builder.role(node);
        if let Some(pace) = need.tiles.filter(|_| !need.striped) {
            let element = builder.operand_type(node);
            made.tiles = Some(builder.tiles((node, need.taps), element, role.clone(), &pace));
        }
        if need.striped || need.columns.is_some() {
            made.striped = Some(builder.striped(node, Element::F16, role.clone(), need.columns));
        }
        if need.table {
            made.table = Some(builder.striped(node, Element::F32, role.clone(), None));
        }
        if need.halves {
            made.halves = Some(builder.halves(node, role.clone(), need.frame));
        }
        if need.indices {
            made.indices = Some(builder.indices(node, role.clone()));
        }
        if need.plain {
            let spread = spread::is_spread(context, chip, &spreadable, node);
            let regions = |of: &[NodeId]| {
                of.iter().flat_map(|&other| builder.regions_of(&forms, other, spread)).collect::<Vec<_>>()
            };
            let (apart, together) = (regions(&apart[node]), regions(&together[node]));
            made.plain = Some(builder.plain(node, role, &apart, &together, spread));
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
            frame: None,
            batches: 1,
            rows: 2,
            tile_rows: 2,
            rows_per_stripe: 2,
            units: Storage::whole(Region::Group(Hemisphere::West, number), 2, 1),
        })
    }
}

/// Every partly filled last chunk that some kernel may have to mask.
fn masks(context: &Context<'_>, chip: &Chip) -> Vec<(usize, MaskKind)> {
    let mut masks = std::collections::BTreeSet::new();
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] {
            continue;
        }
        let lanes = match &data.op {
            Op::Reduce { .. } => context.columns(data.inputs[0]),
            _ => context.columns(node),
        } % chip.lanes;
        if lanes == 0 {
            continue;
        }
        match &data.op {
            Op::Reduce { op: ReduceOp::Max, .. } => {
                masks.insert((lanes, MaskKind::NegativeInfinity));
            }
            Op::Reduce { .. } => {
                masks.insert((lanes, MaskKind::Zero));
            }
            op if is_pointwise(op) => {
                masks.insert((lanes, MaskKind::Zero));
            }
            _ => {}
        }
    }
    masks.into_iter().collect()
}

/// How many activations meet each tile of a product's weights.
fn pace(context: &Context<'_>, chip: &Chip, plan: &Floorplan, node: NodeId) -> Pace {
    let weights = context.graph.nodes[node].inputs[1];
    let batches = match context.graph.nodes[node].op {
        Op::Conv { .. } => 1,
        _ => {
            let shape = context.graph.shape(weights);
            context.rows(weights) / shape.iter().rev().nth(1).copied().unwrap_or(1).max(1)
        }
    };
    let all = (context.rows(node) / batches.max(1)).max(1) as u32;
    let vectors = all.min(chip.mxm.accumulators.into());
    let narrow = context.graph.nodes[weights].ty.element.is_narrow();
    Pace { stripes: plan.stripes.into(), vectors, all, cycles: if narrow { 1 } else { 2 } }
}

fn needs(
    context: &Context<'_>,
    groups: &Groups,
    (chip, plan): (&Chip, &Floorplan),
    precision: Precision,
) -> Result<SecondaryMap<NodeId, Needs>, Diagnostic> {
    let mut needs: SecondaryMap<NodeId, Needs> = SecondaryMap::new();
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) {
            continue;
        }
        let base = |at: usize| context.base(data.inputs[at]);
        match &data.op {
            Op::MatMul { .. } | Op::Conv { .. } => {
                needs[base(0)].halves = true;
                if let Some(frame) = conv::frame(context, node) {
                    let whole = match needs[base(0)].frame {
                        Some(other) => frame.with(&other),
                        None => Some(frame),
                    };
                    let what = format!("{node} ({}): its images have two sizes", data.origin);
                    needs[base(0)].frame = Some(whole.ok_or_else(|| bad_node(what))?);
                }
                let weights = base(1);
                if context.constant[weights] {
                    needs[weights].taps = conv::places(context, node);
                    needs[weights].tiles = needs[weights].tiles.or(Some(pace(context, chip, plan, node)));
                } else {
                    needs[weights].striped = true;
                }
            }
            Op::Gather { .. } => {
                let table = base(0);
                if precision == Precision::Fp32 && !is_f16(context.graph, table) {
                    needs[table].table = true;
                } else {
                    needs[table].striped = true;
                }
                needs[base(1)].indices = true;
            }
            Op::Append { axis } => appended(context, *axis, node, &mut needs),
            // The recent rows of a state by columns, which the append to it turns.
            Op::Transpose { .. } => {}
            op if is_pointwise(op) => {}
            _ => {
                for at in 0..data.inputs.len() {
                    needs[base(at)].plain = true;
                }
            }
        }
        let computed =
            matches!(data.op, Op::MatMul { .. } | Op::Conv { .. } | Op::Reduce { .. } | Op::Gather { .. })
                || super::moves::is_move(context, node);
        if computed {
            needs[node].plain = true;
        }
    }
    let users = users(context);
    for group in &groups.groups {
        let program = program(context, &group.nodes, &users).map_err(bad_node)?;
        for input in program.inputs {
            needs[context.base(input.node)].plain = true;
        }
    }
    for (_, node) in &context.graph.outputs {
        needs[context.base(*node)].plain = true;
    }
    // Elements of eight bits are for the planes only.
    for (node, data) in context.graph.nodes.iter() {
        needs[node].plain &= !data.ty.element.is_narrow();
    }
    for state in &context.graph.states {
        let needs = &mut needs[state.input];
        needs.plain |= !needs.striped && needs.columns.is_none();
    }
    Ok(needs)
}

/// What an Append along an axis asks for.
fn appended(context: &Context<'_>, axis: usize, node: NodeId, needs: &mut SecondaryMap<NodeId, Needs>) {
    let data = &context.graph.nodes[node];
    let base = |at: usize| context.base(data.inputs[at]);
    if !appends_columns(data) {
        needs[base(1)].plain = true;
        needs[base(2)].plain = true;
        return;
    }
    let (turned, matrices) = (base(1), context.rows(node) / data.ty.shape[axis - 1]);
    needs[base(0)].columns = Some(matrices / context.graph.shape(turned)[0]);
    needs[context.base(context.graph.nodes[turned].inputs[0])].striped = true;
    needs[base(3)].indices = true;
}

pub(super) fn bad_node(problem: String) -> Diagnostic {
    Diagnostic::new(Kind::Unsupported, "cannot-lower", problem)
}

/// For each base, the bases that some kernel reads in the same pass.
fn read_together(
    context: &Context<'_>,
    groups: &Groups,
) -> Result<SecondaryMap<NodeId, Vec<NodeId>>, Diagnostic> {
    let users = users(context);
    let mut together: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
    for group in &groups.groups {
        let program = program(context, &group.nodes, &users).map_err(bad_node)?;
        let bases: Vec<NodeId> = program.inputs.iter().map(|input| context.base(input.node)).collect();
        for &one in &bases {
            for &other in &bases {
                if one != other && !together[one].contains(&other) {
                    together[one].push(other);
                }
            }
        }
    }
    Ok(together)
}

/// For each base, the bases that a kernel reads while it writes it, or writes while it reads it.
fn read_and_written(
    context: &Context<'_>,
    groups: &Groups,
) -> Result<SecondaryMap<NodeId, Vec<NodeId>>, Diagnostic> {
    let users = users(context);
    let mut apart: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
    let mut note = |written: NodeId, read: NodeId| {
        if written != read {
            apart[written].push(read);
            apart[read].push(written);
        }
    };
    for group in &groups.groups {
        let program = program(context, &group.nodes, &users).map_err(bad_node)?;
        for (at, (result, _)) in program.results.iter().enumerate() {
            program.results[..at].iter().for_each(|(other, _)| note(*result, *other));
            program.inputs.iter().for_each(|input| note(*result, context.base(input.node)));
        }
    }
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) || is_pointwise(&data.op) {
            continue;
        }
        data.inputs.iter().for_each(|&input| note(context.base(node), context.base(input)));
    }
    Ok(apart)
}

struct Builder<'a, 'g> {
    context: &'a Context<'g>,
    chip: &'a Chip,
    storages: Storages,
    group_use: BTreeMap<Region, u32>,
    set_use: BTreeMap<Region, u64>,
    pairs: spread::Pairs,
    /// Whether some arrays are dealt over several groups.
    spreads: bool,
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
            return Role::Input(name.clone());
        }
        match graph.outputs.iter().find(|(_, output)| self.context.base(*output) == node) {
            Some((name, _)) => Role::Output(name.clone()),
            None => Role::Temporary,
        }
    }

    /// Where a tensor lies; for what is itself dealt over groups, where it begins.
    fn regions_of(&self, forms: &SecondaryMap<NodeId, Forms>, node: NodeId, spread: bool) -> Vec<Region> {
        let ids = forms[node].plain.into_iter().chain(forms[node].indices.into_iter().flatten());
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
            frame: None,
            batches: 1,
            rows: self.context.rows(node) as u32,
            tile_rows: self.context.rows(node).max(1) as u32,
            rows_per_stripe: self.context.rows(node).max(1) as u32,
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

    fn indices(&mut self, node: NodeId, role: Role) -> [StorageId; 2] {
        let groups = self.storages.plan.groups;
        Hemisphere::BOTH.map(|hemisphere| {
            let mut storage = self.storage(node, self.word_type(node), role.clone());
            storage.lie(Region::Group(hemisphere, groups - 1));
            self.storages.arrays.push(storage)
        })
    }

    /// A 32-bit array in a group of slices, or from there on: best in none that its kernel reads (`apart`), nor that is read together with it.
    fn plain(
        &mut self,
        node: NodeId,
        role: Role,
        apart: &[Region],
        together: &[Region],
        spread: bool,
    ) -> StorageId {
        let mut storage = self.storage(node, self.word_type(node), role.clone());
        let groups = self.storages.plan.groups;
        // Beside arrays that are dealt over the other groups, the last ones are for constants.
        let own = match (self.spreads, &role) {
            (false, _) => 0..groups,
            (true, Role::Constant) => groups - 1..groups,
            (true, _) => 0..groups - 1,
        };
        let all = own.flat_map(|n| Hemisphere::BOTH.map(|h| Region::Group(h, n)));
        let weight = |region: Region| {
            let clashes = |with: &[Region]| with.iter().filter(|&&other| other == region).count();
            (clashes(apart), clashes(together), self.group_use.get(&region).copied().unwrap_or(0), region)
        };
        let region = all.min_by_key(|&region| weight(region)).expect("a floor plan has groups");
        *self.group_use.entry(region).or_default() += 1;
        match spread {
            true => spread::spread_plain(&mut storage, &self.storages.plan, self.chip, region),
            false => storage.lie(region),
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
            spread::spread_pairs(&mut storage, &mut self.pairs, self.chip, hemisphere);
            self.storages.arrays.push(storage)
        })
    }

    /// Weights cut for the planes that multiply them.
    fn tiles(
        &mut self,
        (node, taps): (NodeId, Option<u32>),
        element: Element,
        role: Role,
        pace: &Pace,
    ) -> StorageId {
        let mut storage = self.matrices(node, element, role);
        if let Some(places) = taps {
            storage.window(places);
        }
        let weights = Weights { batches: storage.batches, rows: storage.rows, chunks: storage.chunks };
        // The emptier sites first, so that the odd tiles of small products go there.
        let mut sites = Site::all(self.chip, element.bytes());
        let words = |site: &Site, set: u16| self.set_use.get(&site.region(set)).copied().unwrap_or(0);
        let sets = 0..self.storages.plan.sets;
        let set = sets.min_by_key(|&set| sites.iter().map(|site| words(site, set)).max()).unwrap_or(0);
        sites.sort_by_key(|site| words(site, set));
        storage.units = share(weights, u32::from(self.chip.mxm.rows), &sites, set, pace);
        for (region, words) in storage.regions() {
            *self.set_use.entry(region).or_default() += u64::from(words);
        }
        self.storages.arrays.push(storage)
    }

    /// Rows dealt evenly to stripes, in tiles of a plane. Of a state by columns, some matrices of which share a pack, tiles are as many rows as a
    /// superlane has lanes, each in a stripe of its own, so that the vectors of one SXM instruction lie in different slices.
    fn striped(&mut self, node: NodeId, element: Element, role: Role, columns: Option<usize>) -> StorageId {
        let mut storage = self.matrices(node, element, role.clone());
        let plane = storage.rows.min(self.chip.mxm.rows.into()).max(1);
        storage.tile_rows = columns.map_or(plane, |_| self.chip.lanes_per_superlane as u32);
        let in_pack = columns.unwrap_or(1) as u32;
        let stripes = u32::from(2 * self.storages.plan.stripes) / element.bytes() as u32;
        // A plane's tile leaves the last stripe's streams to activations, where that costs no more than a cycle.
        let alone = role != Role::Constant && storage.tile_rows > stripes;
        storage.rows_per_stripe = storage.tile_rows.div_ceil(stripes - u32::from(alone));
        let mut next: BTreeMap<Region, u32> = BTreeMap::new();
        for index in 0..storage.batches * storage.tiles() {
            // What the host sees lies in two ranges of packs, one a hemisphere; all else in turns.
            let (batch, tile) = (index / storage.tiles(), index % storage.tiles());
            let hemisphere = match &role {
                Role::State(..) | Role::Input(_)
                    if batch / in_pack < (storage.batches / in_pack).div_ceil(2) =>
                {
                    Hemisphere::East
                }
                Role::State(..) | Role::Input(_) => Hemisphere::West,
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
            let unit = Unit {
                region,
                word: *word,
                row: batch * storage.rows + row,
                rows: storage.tile_rows.min(storage.rows - row),
                chunk: 0,
                chunks: storage.chunks,
                per_stripe: storage.rows_per_stripe,
            };
            storage.units.push(unit);
            *word += unit.words();
            *self.set_use.entry(region).or_default() += u64::from(unit.words());
        }
        self.storages.arrays.push(storage)
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
