"""Weights from and to other libraries: SpikingJelly and snnTorch."""

from spikescan.peers.files import below, load_neuron, read_state, save_neuron
from spikescan.peers.neurons import PeerNeuron, from_peer, list_peers, required_arguments, to_peer

__all__ = [
    "PeerNeuron",
    "below",
    "from_peer",
    "list_peers",
    "load_neuron",
    "read_state",
    "required_arguments",
    "save_neuron",
    "to_peer",
]
