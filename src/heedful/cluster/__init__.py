"""Work on a Ray cluster: trainings of a comparison, shards of a file to predict."""
