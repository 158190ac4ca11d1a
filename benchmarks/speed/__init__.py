"""Side by side: ours, the peers, the frameworks' floors and the physical limit, against one server, in one run."""
