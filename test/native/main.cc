// The entry point of the core tests: every other file here only registers tests.
#include "harness.h"

int main(int argc, char** argv) { return hotbolt::testing::run(argc, argv); }
