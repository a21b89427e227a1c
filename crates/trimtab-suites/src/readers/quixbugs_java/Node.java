package java_programs;

import java.util.ArrayList;

/** A vertex of a graph with its neighbours, and an element of a linked list. */
public class Node {
    private final String value;
    private Node successor;
    private ArrayList<Node> successors = new ArrayList<>();
    private ArrayList<Node> predecessors = new ArrayList<>();

    public Node(String value) {
        this.value = value;
    }

    public Node(String value, Node successor) {
        this(value);
        this.successor = successor;
    }

    public Node(String value, ArrayList<Node> successors) {
        this(value);
        this.successors = successors;
    }

    public String getValue() {
        return value;
    }

    public Node getSuccessor() {
        return successor;
    }

    public void setSuccessor(Node successor) {
        this.successor = successor;
    }

    public ArrayList<Node> getSuccessors() {
        return successors;
    }

    public void setSuccessors(ArrayList<Node> successors) {
        this.successors = successors;
    }

    public ArrayList<Node> getPredecessors() {
        return predecessors;
    }

    public void setPredecessors(ArrayList<Node> predecessors) {
        this.predecessors = predecessors;
    }
}
