"""Inside recurrence: the gates of LSTM and GRU token by token, and how long a cell keeps what it was given."""
