//! A small writer of ONNX files, independent of the decoder under test.

/// A protobuf message under construction.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    /// A varint field.
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    /// A length-delimited field.
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A string field.
    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A field that is a message.
    pub fn message(self, field: u64, value: Message) -> Self {
        self.bytes(field, &value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A typed input or output; element type 1 is float32.
pub fn value(name: &str, element: i64, shape: &[i64]) -> Message {
    let dims =
        shape.iter().fold(Message::default(), |dims, &dim| dims.message(1, Message::default().int(1, dim)));
    let tensor = Message::default().int(1, element).message(2, dims);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

/// A constant of float32.
pub fn constant(name: &str, shape: &[i64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = shape.iter().fold(Message::default(), |dims, &dim| dims.int(1, dim));
    dims.int(2, 1).text(8, name).bytes(9, &raw)
}

/// A node of one output.
pub fn node(operator: &str, inputs: &[&str], output: &str) -> Message {
    let inputs = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    inputs.text(2, output).text(3, &format!("/{operator}_{output}")).text(4, operator)
}

/// A graph: nodes, constants, inputs, outputs.
pub fn graph(nodes: &[Message], constants: &[Message], inputs: &[Message], outputs: &[Message]) -> Message {
    let mut graph = Message::default();
    for (field, parts) in [(1, nodes), (5, constants), (11, inputs), (12, outputs)] {
        for part in parts {
            graph = graph.message(field, part.clone());
        }
    }
    graph.text(2, "tiny")
}

/// A model file of opset 17.
pub fn model(graph: Message) -> Vec<u8> {
    let opset = Message::default().text(1, "").int(2, 17);
    Message::default().int(1, 8).message(7, graph).message(8, opset).0
}

/// y = relu(x · w + b), with x [2, 8], w [8, 4], b [4].
pub fn tiny() -> Vec<u8> {
    let weights: Vec<f32> = (0..32).map(|i| (i % 7) as f32 * 0.25 - 0.5).collect();
    model(graph(
        &[node("MatMul", &["x", "w"], "xw"), node("Add", &["xw", "b"], "sum"), node("Relu", &["sum"], "y")],
        &[constant("w", &[8, 4], &weights), constant("b", &[4], &[0.5, -0.5, 0.25, 1.0])],
        &[value("x", 1, &[2, 8])],
        &[value("y", 1, &[2, 4])],
    ))
}
