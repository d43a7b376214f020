"""Where rows come from: synthetic data, files, and blocks of either."""
