// Built on lx by the test.
package main

import "fmt"

func main() { fmt.Println("built and run") }
