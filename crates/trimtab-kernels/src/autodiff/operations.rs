//! The kernels on a backend that records what is done, with their backward steps.
//!
//! Gradients go to activations alone. Packed weights, gains and biases are frozen: an operation
//! refuses one that asks for a gradient, rather than leave it without.

use super::{AttentionInputs, KernelGradients, NormShape};
use crate::{
    AttentionStep, HiddenShape, KvFormat, KvShape, PackedShape, PrefixCopy,
    ops::{Bias, HeadNorm, KernelOps, MlpShape, Rope},
};
use burn::backend::{
    Autodiff, Backend, TensorMetadata,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind, unary},
    },
    ops::FloatTensorOps,
    tensor::{FloatTensor, IntTensor},
};

type Tracked<B, C> = FloatTensor<Autodiff<B, C>>;

/// The value of a parameter that is not trained.
///
/// # Panics
///
/// If it asks for a gradient.
fn frozen<B: Backend, C: CheckpointStrategy>(tensor: Tracked<B, C>, name: &str) -> FloatTensor<B> {
    assert!(
        !tensor.is_tracked(),
        "{name} are frozen, and have no gradient"
    );
    tensor.into_primitive()
}

fn frozen_bias<B: Backend, C: CheckpointStrategy>(bias: Bias<Autodiff<B, C>>) -> Bias<B> {
    match bias {
        Bias::Absent => Bias::Absent,
        Bias::Present(bias) => Bias::Present(frozen::<B, C>(bias, "biases")),
    }
}

/// Records an operation on one tensor: `forward` makes its value, `backward` gets `state`.
fn record<B, C, O>(
    operation: O,
    x: Tracked<B, C>,
    state: impl FnOnce(&FloatTensor<B>) -> O::State,
    forward: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> Tracked<B, C>
where
    B: Backend,
    C: CheckpointStrategy,
    O: Backward<B, 1>,
{
    let (x, node) = x.into_parts();
    match operation.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let state = state(&x);
            prepared.finish(state, forward(x))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(forward(x)),
    }
}

/// Gives a backward step its method: the gradient at the input from state and gradient.
macro_rules! backward_step {
    ($name:ident<$backend:ident>, $state:ty, |$bound:pat_param, $gradient:ident| $body:expr) => {
        #[derive(Debug)]
        struct $name;

        impl<$backend: KernelGradients> Backward<$backend, 1> for $name {
            type State = $state;

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let $bound = ops.state;
                unary::<$backend, _>(ops.parents, ops.node, grads, |$gradient| $body);
            }
        }
    };
}

backward_step!(
    Linear<B>,
    (IntTensor<B>, PackedShape),
    |(packed, shape), gradient| { B::packed_linear_backward(gradient, packed, shape) }
);

backward_step!(
    Normed<B>,
    (FloatTensor<B>, FloatTensor<B>, NormShape),
    |(x, gain, shape), gradient| B::norm_backward(x, gain, gradient, shape)
);

backward_step!(
    NormedHeads<B>,
    (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, HeadNorm),
    |(qkv, query_gain, key_gain, norm), gradient| {
        B::norm_heads_backward(qkv, (query_gain, key_gain), gradient, norm)
    }
);

backward_step!(
    Activated<B>,
    (FloatTensor<B>, HiddenShape),
    |(up, shape), gradient| { B::activate_backward(up, gradient, shape) }
);

backward_step!(
    Attended<B>,
    (AttentionInputs<B>, AttentionStep),
    |(inputs, step), gradient| B::attention_backward(inputs, gradient, step)
);

backward_step!(Known<B>, FloatTensor<B>, |known, gradient| {
    // The gradient at a single number scales the known one.
    let rank = known.shape().num_dims();
    let factor = B::float_reshape(gradient, vec![1; rank].into());
    B::float_mul(known, factor)
});

fn norm<B: KernelGradients, C: CheckpointStrategy>(
    x: Tracked<B, C>,
    gain: Tracked<B, C>,
    bias: Option<Bias<Autodiff<B, C>>>,
    epsilon: f32,
) -> Tracked<B, C> {
    let gain = frozen::<B, C>(gain, "gains");
    let kept = gain.clone();
    let shape = NormShape {
        is_centred: bias.is_some(),
        epsilon,
    };
    let bias = bias.map(frozen_bias::<B, C>);
    record::<B, C, _>(
        Normed,
        x,
        |x| (x.clone(), kept, shape),
        |x| match bias {
            None => B::rms_norm(x, gain, epsilon),
            Some(bias) => <B as KernelOps>::layer_norm(x, gain, bias, epsilon),
        },
    )
}

impl<B: KernelGradients, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn arrange(packed: IntTensor<Self>, shape: PackedShape) -> IntTensor<Self> {
        B::arrange(packed, shape)
    }

    fn packed_linear(
        x: Tracked<B, C>,
        packed: IntTensor<Self>,
        bias: Bias<Self>,
        shape: PackedShape,
    ) -> Tracked<B, C> {
        let (bias, kept) = (frozen_bias::<B, C>(bias), packed.clone());
        record::<B, C, _>(
            Linear,
            x,
            |_| (kept, shape),
            |x| B::packed_linear(x, packed, bias, shape),
        )
    }

    fn packed_rows(
        ids: IntTensor<Self>,
        packed: IntTensor<Self>,
        shape: PackedShape,
    ) -> Tracked<B, C> {
        <Self as burn::backend::AutodiffBackend>::from_inner(B::packed_rows(ids, packed, shape))
    }

    fn rms_norm(x: Tracked<B, C>, gain: Tracked<B, C>, epsilon: f32) -> Tracked<B, C> {
        norm::<B, C>(x, gain, None, epsilon)
    }

    fn add_rms_norm(
        x: Tracked<B, C>,
        residual: Tracked<B, C>,
        gain: Tracked<B, C>,
        epsilon: f32,
    ) -> (Tracked<B, C>, Tracked<B, C>) {
        let sum = <Self as FloatTensorOps<Self>>::float_add(x, residual);
        (sum.clone(), norm::<B, C>(sum, gain, None, epsilon))
    }

    fn layer_norm(
        x: Tracked<B, C>,
        gain: Tracked<B, C>,
        bias: Bias<Self>,
        epsilon: f32,
    ) -> Tracked<B, C> {
        norm::<B, C>(x, gain, Some(bias), epsilon)
    }

    fn add_layer_norm(
        x: Tracked<B, C>,
        residual: Tracked<B, C>,
        gain: Tracked<B, C>,
        bias: Bias<Self>,
        epsilon: f32,
    ) -> (Tracked<B, C>, Tracked<B, C>) {
        let sum = <Self as FloatTensorOps<Self>>::float_add(x, residual);
        (sum.clone(), norm::<B, C>(sum, gain, Some(bias), epsilon))
    }

    fn norm_heads(
        qkv: Tracked<B, C>,
        query_gain: Tracked<B, C>,
        key_gain: Tracked<B, C>,
        norm: HeadNorm,
    ) -> Tracked<B, C> {
        let query_gain = frozen::<B, C>(query_gain, "gains");
        let key_gain = frozen::<B, C>(key_gain, "gains");
        let kept = (query_gain.clone(), key_gain.clone());
        record::<B, C, _>(
            NormedHeads,
            qkv,
            |qkv| (qkv.clone(), kept.0, kept.1, norm),
            |qkv| B::norm_heads(qkv, query_gain, key_gain, norm),
        )
    }

    fn packed_mlp(
        x: Tracked<B, C>,
        up: IntTensor<Self>,
        up_bias: Bias<Self>,
        down: IntTensor<Self>,
        down_bias: Bias<Self>,
        shape: MlpShape,
    ) -> Tracked<B, C> {
        let hidden_shape = shape.hidden();
        assert_eq!(shape.up.d_out, hidden_shape.d_up(), "an MLP of {shape:?}");
        let hidden = Self::activate(Self::packed_linear(x, up, up_bias, shape.up), hidden_shape);
        Self::packed_linear(hidden, down, down_bias, shape.down)
    }

    fn activate(up: Tracked<B, C>, shape: HiddenShape) -> Tracked<B, C> {
        record::<B, C, _>(
            Activated,
            up,
            |up| (up.clone(), shape),
            |up| B::activate(up, shape),
        )
    }

    fn cached_attention(
        qkv: Tracked<B, C>,
        rope: Rope<Self>,
        cache: IntTensor<Self>,
        step: AttentionStep,
    ) -> (Tracked<B, C>, IntTensor<Self>) {
        let rope = match rope {
            Rope::Absent => Rope::Absent,
            Rope::Tables { cos, sin } => Rope::Tables {
                cos: frozen::<B, C>(cos, "rotary tables"),
                sin: frozen::<B, C>(sin, "rotary tables"),
            },
        };
        let kept = rope.clone();
        let mut grown = None;
        let out = record::<B, C, _>(
            Attended,
            qkv,
            |qkv| {
                let is_new = step.segments.iter().all(|segment| segment.position == 0);
                assert!(is_new, "gradients of a sequence begin with it");
                assert_eq!(step.kv.format, KvFormat::F32, "gradients need exact keys");
                let qkv = qkv.clone();
                (AttentionInputs { qkv, rope: kept }, step.clone())
            },
            |qkv| {
                let (out, cache) = B::cached_attention(qkv, rope, cache, step.clone());
                grown = Some(cache);
                out
            },
        );
        (out, grown.expect("the forward pass has run"))
    }

    fn copy_prefix(cache: IntTensor<Self>, shape: KvShape, copy: PrefixCopy) -> IntTensor<Self> {
        B::copy_prefix(cache, shape, copy)
    }

    fn with_gradient(x: Tracked<B, C>, gradient: Tracked<B, C>, value: f32) -> Tracked<B, C> {
        let gradient = frozen::<B, C>(gradient, "known gradients");
        let kept = gradient.clone();
        record::<B, C, _>(Known, x, |_| kept, |x| B::with_gradient(x, gradient, value))
    }
}
