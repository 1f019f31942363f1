"""What is kept between runs: the teacher's answers, asked for once and read by every later run."""
